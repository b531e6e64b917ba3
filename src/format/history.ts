/** The steps that an image was made by, as `history` lists them. */

import type { ListStyle } from "../output.ts";
import { printable } from "../printable.ts";
import type { ImageConfig } from "../spec.ts";
import type { Image } from "../storage/images.ts";
import { formatAge, formatSize, shortId } from "./units.ts";

const columns = {
  ID: "IMAGE",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  CreatedBy: "CREATED BY",
  Size: "SIZE",
  Comment: "COMMENT",
};
const createdByWidth = 45;

/** Docker's table; times and sizes for people, or exact. */
export function historyStyle(human: boolean): ListStyle {
  const shown = ["ID", human ? "CreatedSince" : "CreatedAt", "CreatedBy", "Size", "Comment"];
  return { typeName: "history", headings: columns, standard: shown.map((name) => `{{.${name}}}`).join("\t") };
}

/** A row for each step, the last first. `layerSizes`: bytes of the files of each layer, from the lowest up. */
export function historyRows(
  { id, config }: Image,
  layerSizes: number[],
  { full = false, human = true, nowMs = Date.now() } = {},
) {
  const steps: NonNullable<ImageConfig["history"]> = config.history ?? layerSizes.map(() => ({}));
  const sizes = [...layerSizes];
  const rows = steps.map(({ created, created_by, comment, empty_layer }) => {
    const sizeBytes = empty_layer ? 0 : (sizes.shift() ?? 0);
    return {
      ID: "<missing>", // what it was called where it was made is not known
      CreatedSince: created ? formatAge(created, nowMs) : "N/A",
      CreatedAt: created ?? "",
      CreatedBy: ellipsis(oneLine(created_by), full ? Infinity : createdByWidth),
      Size: human ? formatSize(sizeBytes) : String(sizeBytes),
      Comment: oneLine(comment),
    };
  });
  if (rows.length) rows.at(-1)!.ID = full ? id : shortId(id);
  return rows.toReversed();
}

/** What an image says of itself must not act on the terminal, nor break the table. */
function oneLine(text: string | null | undefined): string {
  return printable((text ?? "").replaceAll(/[\t\n]/g, " "));
}

function ellipsis(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join("")}…`;
}
