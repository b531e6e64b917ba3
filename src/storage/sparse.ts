/** Sparse files in tar archives: GNU tar manual, "Sparse Formats". A map is the list of the parts that hold data. */

import { PodError } from "../errors.ts";
import { decimal, type PaxRecords, paxNumber } from "./pax.ts";
import { number } from "./tarheader.ts";

export interface SparseMap {
  /** Of the whole file, in bytes. */
  size: number;
  parts: { position: number; length: number }[];
}

/** What a pax header says: a map (formats 0.0, 0.1), or that the map precedes the data (1.0); undefined for other files. */
export function sparseFromPax(records: PaxRecords): SparseMap | "in the data" | undefined {
  if (records.get("GNU.sparse.major") === "1") return "in the data";
  const map = records.get("GNU.sparse.map");
  const size = paxNumber(records, "GNU.sparse.size");
  if (map === undefined || size === undefined) return undefined;
  return { size, parts: pairs(map.split(",").filter(Boolean).map(decimal)) };
}

/** The map of format 1.0 if `text` holds all of it: decimal numbers, one a line, their pairs counted by the first. */
export function parseSparseText(text: string, size: number): SparseMap | undefined {
  const lines = text.split("\n");
  const count = lines.length > 1 ? decimal(lines[0]!) : Number.NaN;
  if (!(lines.length > 1 + 2 * count)) return undefined;
  return { size, parts: pairs(lines.slice(1, 1 + 2 * count).map(decimal)) };
}

/** Adds the pairs of an old GNU header, or of a block that extends it; true where another such block follows. */
export function addOldSparse(map: SparseMap, block: Buffer, extension: boolean): boolean {
  const [offset, count, more] = extension ? ([0, 21, 504] as const) : ([386, 4, 482] as const);
  for (let index = 0; index < count; index++) {
    const at = offset + index * 24;
    if (block[at + 12] === 0) break; // a pair that is not in use
    map.parts.push({ position: number(block, at, 12, "sparse map"), length: number(block, at + 12, 12, "sparse map") });
  }
  return block[more] !== 0;
}

/** Refuses a map whose parts overlap, leave the file, or do not add up to the bytes that are stored. */
export function verifySparse(map: SparseMap, storedBytes: number): void {
  let end = 0;
  let total = 0;
  for (const { position, length } of map.parts) {
    if (position < end || length < 0) throw damaged();
    end = position + length;
    total += length;
  }
  if (end > map.size || total !== storedBytes) throw damaged();
}

function pairs(numbers: number[]): SparseMap["parts"] {
  if (numbers.length % 2) throw damaged();
  return Array.from({ length: numbers.length / 2 }, (_, index) => ({
    position: numbers[2 * index]!,
    length: numbers[2 * index + 1]!,
  }));
}

function damaged(): PodError {
  return new PodError("the archive is damaged: a sparse file's map is wrong");
}
