/** One 512-byte header block of a tar archive: V7, POSIX ustar, GNU. */

import { PodError } from "../errors.ts";

export interface RawHeader {
  /** Type flag: one character. */
  type: string;
  /** Byte strings. */
  name: string;
  linkName: string;
  mode: number;
  uid: number;
  gid: number;
  /** Bytes that follow the header. */
  size: number;
  /** Seconds. */
  modified: number;
  major: number;
  minor: number;
}

/** Reads a header; a block whose checksum is wrong is a PodError. */
export function parseHeader(block: Buffer): RawHeader {
  verifyChecksum(block);
  const magic = block.toString("latin1", 257, 265);
  const hasDevice = magic.startsWith("ustar");
  const prefix = magic === "ustar\x0000" ? text(block, 345, 155) : ""; // GNU and V7 keep other things there
  const name = text(block, 0, 100);
  return {
    type: String.fromCharCode(block[156]!),
    name: prefix ? `${prefix}/${name}` : name,
    linkName: text(block, 157, 100),
    mode: number(block, 100, 8, "mode") & 0o7777,
    uid: number(block, 108, 8, "uid"),
    gid: number(block, 116, 8, "gid"),
    size: number(block, 124, 12, "size"),
    modified: number(block, 136, 12, "mtime"),
    major: hasDevice ? number(block, 329, 8, "devmajor") : 0,
    minor: hasDevice ? number(block, 337, 8, "devminor") : 0,
  };
}

/** A number in octal, or base-256 where the first bit is set (GNU tar manual, "Basic Tar Format"). */
export function number(block: Buffer, offset: number, length: number, field: string): number {
  let value = 0;
  const first = block[offset]!;
  if (first & 0x80) {
    value = first & 0x40 ? (first & 0x7f) - 0x80 : first & 0x3f; // two's complement
    for (let index = offset + 1; index < offset + length; index++) value = value * 256 + block[index]!;
  } else {
    let index = offset;
    const end = offset + length;
    while (index < end && (block[index] === 0x20 || block[index] === 0)) index++;
    for (; index < end && block[index] !== 0x20 && block[index] !== 0; index++) {
      const digit = block[index]! - 0x30;
      if (digit < 0 || digit > 7) throw new PodError(`the archive is damaged: its ${field} is no number`);
      value = value * 8 + digit;
    }
  }
  if (!Number.isSafeInteger(value)) throw new PodError(`the archive is damaged: its ${field} is too large`);
  return value;
}

function text(block: Buffer, offset: number, length: number): string {
  const end = block.indexOf(0, offset);
  return block.toString("latin1", offset, end === -1 || end > offset + length ? offset + length : end);
}

/** The sum of all bytes, the checksum's own taken as blanks; some old programs added them up as signed. */
function verifyChecksum(block: Buffer): void {
  let unsigned = 8 * 0x20;
  let above = 0;
  for (let index = 0; index < 512; index++) {
    if (index === 148) index = 156;
    unsigned += block[index]!;
    above += block[index]! >> 7;
  }
  const expected = number(block, 148, 8, "checksum");
  if (expected !== unsigned && expected !== unsigned - above * 256) {
    throw new PodError("the archive is damaged: a header's checksum is wrong");
  }
}
