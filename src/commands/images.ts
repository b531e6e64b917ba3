import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { NotFoundError, UsageError } from "../errors.ts";
import { applyFilters, type FilterTests, hasLabel, matchesGlob, parseFlagFilter } from "../format/filters.ts";
import { imageTree } from "../format/image-tree.ts";
import { imageListStyle, imageRows } from "../format/images.ts";
import * as output from "../output.ts";
import { familiarName, familiarRepository, parseReference } from "../reference.ts";
import type { ImageConfig } from "../spec.ts";
import { readJsonBlob } from "../storage/blobs.ts";
import { listContainers, passOver } from "../storage/containers.ts";
import {
  createdMs,
  findImage,
  type Image,
  type ImageSummary,
  isDangling,
  listImages,
  listSummaries,
} from "../storage/images.ts";
import { parseTime } from "../values.ts";
import { filterOption, listFormat } from "./list-options.ts";

const args = {
  all: { type: "boolean", alias: "a", description: "Show all images (pod keeps no intermediate ones to hide)" },
  digests: { type: "boolean", description: "Show digests" },
  filter: filterOption(["before", "dangling", "label", "reference", "since", "until"]),
  format: listFormat,
  "no-trunc": { type: "boolean", description: "Don't truncate output" },
  quiet: { type: "boolean", alias: "q", description: "Only show image IDs" },
  tree: { type: "boolean", description: "List images with their platforms and what they take on disk" },
  repository: { type: "positional", required: false, valueHint: "REPOSITORY[:TAG]" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "images", description: "List images" },
  args,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const wanted = operands.map((pattern): [string, string] => ["reference", pattern]);
    const filters = [...options.filter, ...wanted];
    if (options.tree) {
      checkTree(options);
      for (const line of imageTree(applyFilters(listImages(), filters, tests), usedIds())) output.line(line);
      return;
    }
    const images = applyFilters(listSummaries(), filters, tests);
    const patterns = filters.flatMap(([name, value]) => (name === "reference" ? [value] : []));
    const rows = images.flatMap((image) => imageRows(onlyNamed(image, patterns), { full: options.noTrunc }));
    const quiet = options.quiet && !options.format;
    if (quiet) output.write("stdout", [...new Set(rows.map((row) => row.ID))].map((id) => `${id}\n`).join(""));
    else output.list(rows, imageListStyle(options.digests), options.format);
  },
});

const tests: FilterTests<ImageSummary> = {
  before: (value) => {
    const time = createdMs(named(value));
    return (image) => createdMs(image) < time;
  },
  dangling: (value) => {
    const wanted = parseFlagFilter("dangling", value);
    return (image) => isDangling(image) === wanted;
  },
  label:
    (value) =>
    ({ id }) =>
      hasLabel(readJsonBlob<ImageConfig>(id).config?.Labels, value),
  reference: (value) => (image) => image.references.some((reference) => fitsReference(reference, value)),
  since: (value) => {
    const time = createdMs(named(value));
    return (image) => createdMs(image) > time;
  },
  until: (value) => {
    const time = parseTime(value);
    return (image) => BigInt(createdMs(image)) * 1_000_000n < time;
  },
};

/** docker/cli, image/list.go. */
function checkTree(options: { quiet: boolean; noTrunc: boolean; digests: boolean; format?: string }): void {
  const wrong = [
    options.quiet && "--quiet",
    options.noTrunc && "--no-trunc",
    options.digests && "--digests",
    options.format !== undefined && "--format",
  ].find(Boolean);
  if (wrong) throw new UsageError(`${wrong} is not yet supported with --tree`);
}

function usedIds(): Set<string> {
  return new Set(listContainers(undefined, passOver).map(({ record }) => record.image.id));
}

/** Of an image with several names those that were asked for. */
function onlyNamed(image: ImageSummary, patterns: string[]): ImageSummary {
  if (!patterns.length) return image;
  const fits = (reference: string) => patterns.some((pattern) => fitsReference(reference, pattern));
  return { ...image, references: image.references.filter(fits) };
}

function fitsReference(reference: string, pattern: string): boolean {
  const parsed = parseReference(reference);
  return [familiarName(parsed), familiarRepository(parsed), reference].some((name) => matchesGlob(name, pattern));
}

function named(text: string): Image {
  const image = findImage(text);
  if (!image) throw new NotFoundError(`No such image: ${text}`);
  return image;
}
