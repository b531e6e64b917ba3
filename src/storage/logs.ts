/**
 * Container logs: `container.log` holds the bytes as they came, `container.log.index` a 16-byte record for each chunk:
 * nanoseconds since 1970 (u64), length in bytes (u32), stream (u32: 1 stdout, 2 stderr), little-endian. A chunk is what
 * one read(2) brought, so a line may span several; the reader puts lines together per stream.
 */

import { join } from "node:path";
import { POLLIN } from "../ns/constants.ts";
import { forgetChanges, patienceMs, poll, watchPaths } from "../ns/sys/descriptor.ts";
import { closeSync, existsSync, fstatSync, openSync, readSync, writeSync } from "../ns/sys/fs.ts";
import { paths } from "./store.ts";

export type LogStream = "stdout" | "stderr";

export interface LogChunk {
  timeNs: bigint;
  stream: LogStream;
  bytes: Uint8Array;
}

const recordBytes = 16;

export function logFile(id: string): string {
  return join(paths.containers, id, "container.log");
}

/** The writing side: the monitor's. */
export class LogWriter {
  private readonly data: number;
  private readonly index: number;
  private readonly record = Buffer.alloc(recordBytes);
  /** Bytes that could not be written: the disk was full. */
  lostBytes = 0;

  constructor(id: string) {
    this.data = openSync(logFile(id), "a", 0o600);
    this.index = openSync(`${logFile(id)}.index`, "a", 0o600);
  }

  /** Never throws: a full disk must not stop the container; the loss is counted. */
  append(stream: LogStream, bytes: Uint8Array): void {
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(this.data, bytes, written);
    } catch {
      this.lostBytes += bytes.length - written;
    }
    if (written === 0) return;
    this.record.writeBigUInt64LE(BigInt(Date.now()) * 1_000_000n, 0);
    this.record.writeUInt32LE(written, 8);
    this.record.writeUInt32LE(stream === "stdout" ? 1 : 2, 12);
    try {
      writeSync(this.index, this.record);
    } catch {
      this.lostBytes += written; // bytes without a record: the reader gives them the time of the chunk before
    }
  }

  close(): void {
    closeSync(this.data);
    closeSync(this.index);
  }
}

export interface LogRange {
  /** Only the last so many lines. */
  tail?: number;
  /** Nanoseconds since 1970. */
  since?: bigint;
  until?: bigint;
}

/** What was logged so far, in order. The chunks' buffers are used again: copy what is kept. */
export function* readLog(id: string, range: LogRange = {}): Generator<LogChunk> {
  if (!existsSync(logFile(id))) return;
  const reader = new LogReader(id, range);
  try {
    for (let chunk = reader.next(); chunk; chunk = reader.next()) yield chunk;
  } finally {
    reader.close();
  }
}

/**
 * A place in a log that is being written. It keeps its files open: what was logged can be read to the end also when the
 * container has been removed.
 */
export class LogReader {
  private readonly data: number;
  private readonly index: number;
  private readonly skip: number;
  private dataAt = 0;
  private indexAt = 0;
  private records = Buffer.alloc(recordBytes * 256);
  private recordsLeft: Buffer = Buffer.alloc(0);
  private chunk = Buffer.alloc(1 << 16);

  constructor(
    id: string,
    private readonly range: LogRange = {},
  ) {
    this.data = openSync(logFile(id), "r");
    this.index = openSync(`${logFile(id)}.index`, "r");
    this.skip = range.tail === undefined ? 0 : tailStart(this.data, range.tail);
  }

  /** The next chunk that is there; undefined where there is none yet. Its buffer is used again. */
  next(): LogChunk | undefined {
    for (let record = this.nextRecord(); record; record = this.nextRecord()) {
      const start = Math.max(this.dataAt, this.skip);
      this.dataAt += record.size;
      if (this.dataAt <= start || !this.isWanted(record.timeNs)) continue;
      const length = this.dataAt - start;
      if (this.chunk.length < length) this.chunk = Buffer.alloc(length);
      const count = readSync(this.data, this.chunk, 0, length, start);
      return { timeNs: record.timeNs, stream: record.stream, bytes: this.chunk.subarray(0, count) };
    }
    return undefined;
  }

  private nextRecord(): { timeNs: bigint; size: number; stream: LogStream } | undefined {
    if (this.recordsLeft.length === 0) {
      const length = readSync(this.index, this.records, 0, this.records.length, this.indexAt);
      this.recordsLeft = this.records.subarray(0, length - (length % recordBytes));
      this.indexAt += this.recordsLeft.length;
      if (this.recordsLeft.length === 0) return undefined;
    }
    const record = this.recordsLeft;
    this.recordsLeft = record.subarray(recordBytes);
    const stream = record.readUInt32LE(12) === 1 ? "stdout" : "stderr";
    return { timeNs: record.readBigUInt64LE(0), size: record.readUInt32LE(8), stream };
  }

  private isWanted(timeNs: bigint): boolean {
    const { since, until } = this.range;
    return (since === undefined || timeNs >= since) && (until === undefined || timeNs < until);
  }

  /** A descriptor that is readable when more is there: watchPaths() of ns/sys/descriptor.ts. */
  watch(): number | undefined {
    return watchPaths([`/proc/self/fd/${this.index}`]);
  }

  close(): void {
    closeSync(this.data);
    closeSync(this.index);
  }
}

/** Makes a log that is empty, so that it can be read before anything is written. */
export function makeLog(id: string): void {
  new LogWriter(id).close();
}

/** The offset where the last `lines` lines begin: read backwards, a block at a time. */
function tailStart(data: number, lines: number): number {
  const size = fstatSync(data).size;
  if (lines <= 0) return size;
  const block = Buffer.alloc(1 << 16);
  let found = 0;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - block.length);
    readSync(data, block, 0, end - start, start);
    for (let at = end - start - 1; at >= 0; at--) {
      if (block[at] !== 10 || start + at === size - 1) continue; // the newline that ends the last line does not begin one
      if (++found === lines) return start + at + 1;
    }
    end = start;
  }
  return 0;
}

/** What was logged so far and all that follows, until `isRunning` says no. Woken by inotify(7), no polling. */
export function* followLog(id: string, range: LogRange, isRunning: () => boolean): Generator<LogChunk> {
  if (!existsSync(logFile(id))) return;
  const changes = watchPaths([`${logFile(id)}.index`, join(paths.containers, id)]); // the state is renamed into this folder at the end
  const reader = new LogReader(id, range);
  try {
    for (;;) {
      const running = isRunning(); // asked before reading: what is written until the end is read after it
      for (let chunk = reader.next(); chunk; chunk = reader.next()) yield chunk;
      if (!running) return;
      poll([{ fd: changes ?? -1, events: POLLIN }], patienceMs(changes));
      if (changes !== undefined) forgetChanges(changes);
    }
  } finally {
    reader.close();
    if (changes !== undefined) closeSync(changes);
  }
}
