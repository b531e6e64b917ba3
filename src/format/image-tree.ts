/** `images --tree`: each image with its names, its platform below, and what it takes on disk (docker/cli, image/tree.go). */

import { formatPlatform } from "../platform.ts";
import { familiarName, parseReference } from "../reference.ts";
import type { Image } from "../storage/images.ts";
import { formatSize, shortId } from "./units.ts";

const headings = ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"];
const gap = "   ";

/** The lines, the heading first. `usedIds`: ids of the images that containers are made of; they are marked `U`. */
export function imageTree(images: Image[], usedIds: Set<string>): string[] {
  const rows = [headings, ...images.flatMap((image) => imageRows(image, usedIds.has(image.id)))];
  const widths = headings.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => align(cell, column, widths[column]!))
      .join(gap)
      .trimEnd(),
  );
}

function imageRows(image: Image, isUsed: boolean): string[][] {
  const contentBytes = image.manifest.layers.reduce((sum, { size }) => sum + size, image.manifest.config.size);
  const sizes = [formatSize(image.sizeBytes + contentBytes), formatSize(contentBytes)]; // blobs and extracted files
  const tags = image.references.map(parseReference).filter(({ tag }) => tag);
  const names = tags.length ? tags.map(familiarName) : ["<untagged>"];
  const id = shortId(image.digest);
  return [
    ...names.map((name) => [name, id, ...sizes, isUsed ? "U" : ""]),
    [`└─ ${formatPlatform(image.platform)}`, id, ...sizes, isUsed ? "U" : ""],
  ];
}

/** Sizes stand at the right of their column, as numbers do. */
function align(cell: string, column: number, width: number): string {
  return headings[column]!.includes("SIZE") || headings[column]!.includes("USAGE")
    ? cell.padStart(width)
    : cell.padEnd(width);
}
