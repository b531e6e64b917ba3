/** Extended headers of the pax format: POSIX.1-2008, pax, "pax Extended Header". */

import { PodError } from "../errors.ts";
import type { Time } from "../ns/sys/file.ts";

/** Keyword to value, both byte strings. */
export type PaxRecords = Map<string, string>;

const repeated = new Set(["GNU.sparse.offset", "GNU.sparse.numbytes"]);

/** Reads records of the form `<length> <keyword>=<value>\n`. GNU's sparse format 0.0 repeats two keywords: those become one list `a,b,…` as in 0.1. */
export function parsePax(bytes: Buffer): PaxRecords {
  const records: PaxRecords = new Map();
  const sparse: string[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const blank = bytes.indexOf(0x20, offset);
    const length = blank === -1 ? Number.NaN : decimal(bytes.toString("latin1", offset, blank));
    const end = offset + length;
    const equals = bytes.indexOf(0x3d, blank);
    if (!(end <= bytes.length) || equals === -1 || equals >= end || bytes[end - 1] !== 0x0a) {
      throw new PodError("the archive is damaged: a pax record has a wrong length");
    }
    const keyword = bytes.toString("latin1", blank + 1, equals);
    const value = bytes.toString("latin1", equals + 1, end - 1);
    if (repeated.has(keyword)) sparse.push(value);
    else records.set(keyword, value);
    offset = end;
  }
  if (sparse.length) records.set("GNU.sparse.map", sparse.join(","));
  return records;
}

/** Records as the content of a pax header, in alphabetical order. */
export function formatPax(records: PaxRecords): Buffer {
  const lines = [...records]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([keyword, value]) => {
      const rest = ` ${keyword}=${value}\n`;
      let length = rest.length;
      while (String(length).length + rest.length !== length) length = String(length).length + rest.length; // it counts itself
      return `${length}${rest}`;
    });
  return Buffer.from(lines.join(""), "latin1");
}

/** A value that is a count or an id; undefined where there is none, or an empty one, which takes a keyword back. */
export function paxNumber(records: PaxRecords, keyword: string): number | undefined {
  const text = records.get(keyword);
  return text ? decimal(text) : undefined;
}

/** A time in decimal seconds, perhaps with a fraction. */
export function paxTime(records: PaxRecords, keyword: string): Time | undefined {
  const text = records.get(keyword);
  if (!text) return undefined;
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text);
  if (!match) throw new PodError(`the archive is damaged: ${keyword} is no time`);
  const seconds = Number(match[2]);
  const nanoseconds = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (!match[1]) return { seconds, nanoseconds };
  return nanoseconds
    ? { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds }
    : { seconds: -seconds, nanoseconds: 0 };
}

/** A decimal number that is exact; else a PodError. */
export function decimal(text: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw new PodError("the archive is damaged: a number is none, or too large");
  return value;
}
