/**
 * Container logs: `container.log` holds the bytes as they came, `container.log.index` a 16-byte record for each chunk:
 * nanoseconds since 1970 (u64), length in bytes (u32), stream (u32: 1 stdout, 2 stderr), little-endian. A chunk is what
 * one read(2) brought, so a line may span several; the reader puts lines together per stream.
 */

import { join } from "node:path";
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
  yield* readFrom(id, range, { index: 0, data: 0 });
}

interface Position {
  index: number;
  data: number;
}

function* readFrom(id: string, range: LogRange, position: Position): Generator<LogChunk> {
  if (!existsSync(logFile(id))) return;
  const data = openSync(logFile(id), "r");
  const index = openSync(`${logFile(id)}.index`, "r");
  try {
    const skip = range.tail === undefined ? 0 : tailStart(data, range.tail);
    const records = Buffer.alloc(recordBytes * 4096);
    let chunk = Buffer.alloc(1 << 16);
    for (;;) {
      const length = readSync(index, records, 0, records.length, position.index);
      const whole = length - (length % recordBytes);
      if (whole === 0) return;
      for (let offset = 0; offset < whole; offset += recordBytes) {
        const timeNs = records.readBigUInt64LE(offset);
        const size = records.readUInt32LE(offset + 8);
        const stream = records.readUInt32LE(offset + 12) === 1 ? "stdout" : "stderr";
        const start = Math.max(position.data, skip);
        const end = position.data + size;
        if (
          end > start &&
          (range.since === undefined || timeNs >= range.since) &&
          (range.until === undefined || timeNs < range.until)
        ) {
          if (chunk.length < end - start) chunk = Buffer.alloc(end - start);
          const count = readSync(data, chunk, 0, end - start, start);
          yield { timeNs, stream, bytes: chunk.subarray(0, count) };
        }
        position.data = end;
        position.index += recordBytes;
      }
    }
  } finally {
    closeSync(data);
    closeSync(index);
  }
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

/** What was logged so far and all that follows, until `isRunning` says no. Woken by inotify, no polling. */
export async function* followLog(id: string, range: LogRange, isRunning: () => boolean): AsyncGenerator<LogChunk> {
  const { watch } = await import("node:fs");
  const position = { index: 0, data: 0 };
  let wake = () => {};
  const stateFile = join(paths.containers, id); // the state is renamed into this folder at the end
  const watchers = [
    watch(stateFile, () => wake()),
    ...(existsSync(`${logFile(id)}.index`) ? [watch(`${logFile(id)}.index`, () => wake())] : []),
  ];
  try {
    for (let first = true; ; first = false) {
      const woken = new Promise<void>((resolve) => (wake = resolve));
      const running = isRunning(); // asked before reading: what is written until the end is read after it
      yield* readFrom(id, first ? range : { until: range.until }, position);
      if (!running) return;
      await woken;
    }
  } finally {
    for (const watcher of watchers) watcher.close();
  }
}
