/**
 * A streaming reader of tar archives: ustar and pax (POSIX.1-2008, pax), GNU tar's long names, base-256 numbers and
 * sparse files, old V7. Names are byte strings (see ns/sys/bytes.ts), so one that is not UTF-8 stays as it is.
 */

import { PodError } from "../errors.ts";
import { toText } from "../ns/sys/bytes.ts";
import type { Time } from "../ns/sys/file.ts";
import { type PaxRecords, parsePax, paxNumber, paxTime } from "./pax.ts";
import { addOldSparse, parseSparseText, type SparseMap, sparseFromPax, verifySparse } from "./sparse.ts";
import { number, parseHeader, type RawHeader } from "./tarheader.ts";

const kinds = {
  "\0": "file",
  "0": "file",
  "7": "file", // "contiguous"
  S: "file", // GNU sparse
  "1": "link",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  D: "directory", // GNU: a list of its names follows
  "6": "fifo",
} as const;

/** One member of the archive. `name` and `linkName` are byte strings, as the archive gives them. */
export interface TarEntry {
  kind: (typeof kinds)[keyof typeof kinds];
  name: string;
  /** Target of a symlink or hard link; else empty. */
  linkName: string;
  /** Permissions with setuid, setgid and sticky: 12 bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of the file as it is read, holes included. */
  size: number;
  accessed: Time;
  modified: Time;
  major: number;
  minor: number;
  /** Names as byte strings. */
  xattrs: [string, Buffer][];
}

export interface TarHandler {
  entry(entry: TarEntry): void;
  /** A piece of a file's content, and where in the file it belongs. The bytes are valid during the call only. */
  data(bytes: Uint8Array, position: number): void;
  /** The file that began with the last `entry` is complete. Not called for other kinds. */
  end(): void;
}

const blockSize = 512;
const metadataMaximum = 1 << 20; // of a pax header or long name, as in Go's archive/tar: a bomb is refused, not held
const nameMaximum = 4096; // PATH_MAX
const idMaximum = 0xfffffffe; // (uid_t)-1 means "leave it" to chown(2)

/** Reads the archive whose bytes `push` brings; `finish` says that there are no more. Errors are PodErrors. */
export function tarReader(handler: TarHandler): { push(chunk: Uint8Array): void; finish(): void } {
  const input = new Input();
  const reading = read(input, handler);
  reading.next();
  return {
    push(chunk) {
      input.chunk = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      input.offset = 0;
      reading.next();
    },
    finish() {
      input.ended = true;
      reading.next();
    },
  };
}

/** Yields where it needs the next chunk. */
type Reading<T> = Generator<undefined, T, undefined>;

class Input {
  chunk: Buffer = Buffer.alloc(0);
  offset = 0;
  ended = false;

  /** Exactly `length` bytes if the chunk holds them. Most do: this saves the generators below. */
  atHand(length: number): Buffer | undefined {
    if (this.offset + length > this.chunk.length) return undefined;
    this.offset += length;
    return this.chunk.subarray(this.offset - length, this.offset);
  }

  /** Up to `maximum` bytes as they lie in the chunk; none at the end of the archive. */
  *some(maximum: number): Reading<Buffer> {
    while (this.offset === this.chunk.length && !this.ended) yield;
    const start = this.offset;
    this.offset = Math.min(this.chunk.length, start + maximum);
    return this.chunk.subarray(start, this.offset);
  }

  /** Exactly `length` bytes; undefined where the archive ends before the first of them. */
  *exactly(length: number): Reading<Buffer | undefined> {
    const head = yield* this.some(length);
    if (head.length === length) return head;
    if (head.length === 0) return undefined;
    const bytes = Buffer.alloc(length);
    let filled = head.copy(bytes);
    while (filled < length) {
      const more = yield* this.some(length - filled);
      if (more.length === 0) throw cutShort();
      filled += more.copy(bytes, filled);
    }
    return bytes;
  }

  *skip(length: number): Reading<void> {
    for (let left = length; left > 0; ) {
      const bytes = yield* this.some(left);
      if (bytes.length === 0) throw cutShort();
      left -= bytes.length;
    }
  }
}

function parseFirst(block: Buffer): RawHeader {
  try {
    return parseHeader(block);
  } catch (cause) {
    throw new PodError("this is no tar archive, or not a whole one", { cause });
  }
}

function* read(input: Input, handler: TarHandler): Reading<void> {
  const global: PaxRecords = new Map();
  let local: PaxRecords = new Map();
  let long: { name?: string; link?: string } = {};
  let wasZero = false;
  let isFirst = true;
  for (;;) {
    const block: Buffer | undefined = input.atHand(blockSize) ?? (yield* input.exactly(blockSize));
    if (block === undefined) break; // some programs leave the two zero blocks out
    const isZero = block[0] === 0 && block.every((byte) => byte === 0);
    if (isZero && wasZero) break;
    wasZero = isZero;
    if (isZero) continue;

    const header = isFirst ? parseFirst(block) : parseHeader(block);
    isFirst = false;
    if (header.type === "x" || header.type === "X") local = parsePax(yield* metadata(input, header));
    else if (header.type === "g") {
      for (const [keyword, value] of parsePax(yield* metadata(input, header))) global.set(keyword, value);
    } else if (header.type === "L") long.name = untilNul(yield* metadata(input, header));
    else if (header.type === "K") long.link = untilNul(yield* metadata(input, header));
    else if (header.type === "V")
      yield* input.skip(padded(header.size)); // GNU: the volume's label
    else {
      const records = global.size ? new Map([...global, ...local]) : local;
      const name = records.get("GNU.sparse.name") || records.get("path") || long.name || header.name;
      try {
        const entry = toEntry(header, name, records.get("linkpath") || long.link || header.linkName, records);
        yield* member(input, handler, entry, {
          block,
          records,
          storedBytes: paxNumber(records, "size") ?? header.size,
        });
      } catch (error) {
        throw new PodError(toText(name), { cause: error });
      }
      local = new Map();
      long = {};
    }
  }
  while (!input.ended) {
    input.offset = input.chunk.length; // what follows the end belongs to nobody
    yield;
  }
}

function toEntry(header: RawHeader, name: string, linkName: string, records: PaxRecords): TarEntry {
  const kind = kinds[header.type as keyof typeof kinds];
  if (!kind) throw new PodError(`the archive has an entry of the unknown type ${JSON.stringify(header.type)}`);
  if (name.length > nameMaximum) throw new PodError("the archive has a name of more than 4096 bytes");
  const uid = paxNumber(records, "uid") ?? header.uid;
  const gid = paxNumber(records, "gid") ?? header.gid;
  if (Math.min(uid, gid) < 0 || Math.max(uid, gid) > idMaximum) throw new PodError(`there is no owner ${uid}:${gid}`);
  const modified = paxTime(records, "mtime") ?? { seconds: header.modified, nanoseconds: 0 };
  return {
    kind: kind === "file" && name.endsWith("/") ? "directory" : kind, // V7 has no type for directories
    name,
    linkName: kind === "link" || kind === "symlink" ? linkName : "",
    mode: header.mode,
    uid,
    gid,
    size: 0,
    accessed: paxTime(records, "atime") ?? modified,
    modified,
    major: header.major,
    minor: header.minor,
    xattrs: xattrsOf(records),
  };
}

function xattrsOf(records: PaxRecords): [string, Buffer][] {
  const prefix = "SCHILY.xattr.";
  const found: [string, Buffer][] = [];
  for (const [keyword, value] of records) {
    if (keyword.startsWith(prefix)) found.push([keyword.slice(prefix.length), Buffer.from(value, "latin1")]);
  }
  return found;
}

/** What is known of a member beside its entry: the header block, and how many bytes of it are stored. */
interface Stored {
  block: Buffer;
  records: PaxRecords;
  storedBytes: number;
}

function* member(input: Input, handler: TarHandler, entry: TarEntry, stored: Stored): Reading<void> {
  if (entry.kind !== "file") {
    handler.entry(entry);
    // Only GNU's type D has content; a size with any other kind is that of the file that a link leads to.
    if (String.fromCharCode(stored.block[156]!) === "D") yield* input.skip(padded(stored.storedBytes));
    return;
  }
  if (stored.storedBytes < 0) throw new PodError("the archive is damaged: a size is negative");
  const { map, mapBytes } = yield* sparseMap(input, stored);
  const dataBytes = stored.storedBytes - mapBytes;
  const parts = map?.parts ?? [{ position: 0, length: dataBytes }];
  if (map) verifySparse(map, dataBytes);
  entry.size = map?.size ?? dataBytes;
  handler.entry(entry);
  for (const { position, length } of parts) {
    for (let done = 0; done < length; ) {
      const bytes: Buffer = input.atHand(length - done) ?? (yield* input.some(length - done));
      if (bytes.length === 0) throw cutShort();
      handler.data(bytes, position + done);
      done += bytes.length;
    }
  }
  handler.end();
  const padding = padded(dataBytes) - dataBytes;
  if (!input.atHand(padding)) yield* input.skip(padding);
}

/** The map of a sparse file, in whichever place its format has it, and how much of the stored bytes it takes. */
function* sparseMap(input: Input, stored: Stored): Reading<{ map?: SparseMap; mapBytes: number }> {
  if (stored.block[156] === 0x53 /* S */) {
    const map: SparseMap = { size: number(stored.block, 483, 12, "sparse size"), parts: [] };
    let more = addOldSparse(map, stored.block, false);
    while (more) {
      const block = yield* input.exactly(blockSize);
      if (block === undefined) throw cutShort();
      more = addOldSparse(map, block, true);
      if (map.parts.length > metadataMaximum / 24) throw tooLarge("a sparse file's map");
    }
    return { map, mapBytes: 0 };
  }
  const found = sparseFromPax(stored.records);
  if (found !== "in the data") return { map: found, mapBytes: 0 };

  const size = paxNumber(stored.records, "GNU.sparse.realsize");
  let text = "";
  while (size !== undefined && text.length < Math.min(stored.storedBytes, metadataMaximum)) {
    const block = yield* input.exactly(blockSize);
    if (block === undefined) throw cutShort();
    text += block.toString("latin1");
    const map = parseSparseText(text, size);
    if (map) return { map, mapBytes: text.length };
  }
  throw new PodError("the archive is damaged: a sparse file's map is wrong");
}

/** The content of an entry that describes the next one. */
function* metadata(input: Input, header: RawHeader): Reading<Buffer> {
  if (header.size < 0 || header.size > metadataMaximum) throw tooLarge("an extended header");
  const bytes = yield* input.exactly(header.size);
  if (bytes === undefined && header.size > 0) throw cutShort();
  const copy = Buffer.from(bytes ?? []); // the chunk is gone before it is used
  yield* input.skip(padded(header.size) - header.size);
  return copy;
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end === -1 ? bytes.length : end);
}

function padded(size: number): number {
  return Math.ceil(size / blockSize) * blockSize;
}

function cutShort(): PodError {
  return new PodError("the archive is cut short");
}

function tooLarge(what: string): PodError {
  return new PodError(`the archive is refused: ${what} of more than ${metadataMaximum} bytes`);
}
