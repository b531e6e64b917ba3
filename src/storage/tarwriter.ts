/**
 * Writes tar archives: ustar where it suffices, with pax records (POSIX.1-2008, pax) where it does not. The same
 * entries give the same bytes: there are no names of owners, no times of access and no process ids in them.
 */

import { formatPax } from "./pax.ts";
import type { TarEntry } from "./tar.ts";

const types = { file: "0", link: "1", symlink: "2", character: "3", block: "4", directory: "5", fifo: "6" };

/** The blocks before a member's content: `entry.size` bytes, which only a file has, and then `tarPadding`. Its time of access is left out. */
export function tarHeader(entry: TarEntry): Buffer {
  const name = entry.kind === "directory" ? `${entry.name}/` : entry.name;
  const header = Buffer.alloc(512);
  const records = new Map<string, string>();
  const text = (keyword: string, value: string, offset: number) => {
    if (value.length > 100) records.set(keyword, value);
    header.write(value.slice(0, 100), offset, "latin1");
  };
  /** Octal, with a NUL behind it. */
  const number = (keyword: string, value: number, offset: number, width: number) => {
    const fits = value >= 0 && value < 8 ** (width - 1);
    if (!fits) records.set(keyword, String(value));
    header.write((fits ? value : 0).toString(8).padStart(width - 1, "0"), offset, "latin1");
  };
  text("path", name, 0);
  number("mode", entry.mode, 100, 8);
  number("uid", entry.uid, 108, 8);
  number("gid", entry.gid, 116, 8);
  number("size", entry.kind === "file" ? entry.size : 0, 124, 12);
  number("mtime", entry.modified.seconds, 136, 12);
  if (entry.modified.nanoseconds) records.set("mtime", decimalTime(entry.modified));
  header.write(types[entry.kind], 156, "latin1");
  text("linkpath", entry.linkName, 157);
  header.write("ustar\x0000", 257, "latin1");
  number("SCHILY.devmajor", entry.major, 329, 8);
  number("SCHILY.devminor", entry.minor, 337, 8);
  for (const [xattr, value] of entry.xattrs) records.set(`SCHILY.xattr.${xattr}`, value.toString("latin1"));
  writeChecksum(header);
  return records.size ? Buffer.concat([paxHeader(entry, records), header]) : header;
}

/** The zeros between the end of a content of `size` bytes and the next header. */
export function tarPadding(size: number): Buffer {
  return zeros.subarray(0, -size & 511);
}

const epoch = { seconds: 0, nanoseconds: 0 };
/** A member that says nothing of itself: empty, root's, of 1970. */
export const emptyFile: Omit<TarEntry, "name"> = {
  kind: "file",
  linkName: "",
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  accessed: epoch,
  modified: epoch,
  major: 0,
  minor: 0,
  xattrs: [],
};

const zeros = Buffer.alloc(1024);
/** What the archive ends with: two blocks of zeros. */
export const tarEnd = zeros;

/** Seconds with nine digits behind the point; of a time before 1970 both parts count from its second up. */
function decimalTime({ seconds, nanoseconds }: { seconds: number; nanoseconds: number }): string {
  const total = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
  const digits = String(total < 0n ? -total : total).padStart(10, "0");
  return `${total < 0n ? "-" : ""}${digits.slice(0, -9)}.${digits.slice(-9).replace(/0+$/, "")}`;
}

/** An entry of its own, whose content is the records. */
function paxHeader(entry: TarEntry, records: Map<string, string>): Buffer {
  const content = formatPax(records);
  const base = entry.name.slice(entry.name.lastIndexOf("/") + 1);
  const header = tarHeader({ ...emptyFile, name: `PaxHeaders.0/${base}`.slice(0, 100), size: content.length });
  header.write("x", 156, "latin1");
  writeChecksum(header);
  return Buffer.concat([header, content, tarPadding(content.length)]);
}

/** The sum of the block's bytes, its own field taken as blanks. */
function writeChecksum(header: Buffer): void {
  header.fill(" ", 148, 156);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
