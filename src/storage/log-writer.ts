/** The writing side of a container's log: the monitor's. */

import { O_CREAT, O_RDWR } from "../ns/constants.ts";
import { ftruncate, open, punchHole, seekData } from "../ns/sys/file.ts";
import { closeSync, fstatSync, readSync, writeSync } from "../ns/sys/fs.ts";
import { writeAt } from "./files.ts";
import {
  decodeRecord,
  encodeRecord,
  indexFile,
  type LogRecord,
  type LogStream,
  logFile,
  recordBytes,
} from "./log-format.ts";

/** At `maximumBytes` all but about the last `keptBytes` are cut off, between lines where there are any. */
export interface LogLimit {
  maximumBytes: number;
  keptBytes: number;
}

export class LogWriter {
  readonly #limit: LogLimit | undefined;
  readonly #data: number;
  readonly #index: number;
  readonly #record = Buffer.alloc(recordBytes);
  /** All that was ever written, also what is cut off by now. */
  sizeBytes: number;
  #indexBytes: number;
  /** Where the log begins. */
  #start: number;
  /** Bytes that could not be written: the disk was full. */
  lostBytes = 0;
  /** Why the log grows beyond its limit, should it. */
  cutFailure: unknown;

  constructor(id: string, limit?: LogLimit) {
    this.#limit = limit;
    this.#data = open(logFile(id), O_RDWR | O_CREAT, 0o600);
    this.#index = open(indexFile(id), O_RDWR | O_CREAT, 0o600);
    this.sizeBytes = fstatSync(this.#data).size;
    this.#indexBytes = Math.floor(fstatSync(this.#index).size / recordBytes) * recordBytes;
    this.#start = seekData(this.#data, 0)?.start ?? 0;
  }

  /** Never throws: a full disk must not stop the container; the loss is counted. */
  append(stream: LogStream, bytes: Uint8Array, timeNs: bigint): void {
    let written = 0;
    try {
      while (written < bytes.length) {
        written += writeSync(this.#data, bytes, written, bytes.length - written, this.sizeBytes + written);
      }
    } catch {
      this.lostBytes += bytes.length - written;
    }
    if (written === 0) return;
    this.sizeBytes += written;
    try {
      this.#addRecord({ timeNs, end: this.sizeBytes, stream, isCut: false });
    } catch {
      this.#takeBack(written); // nobody would find them
    }
    if (this.#limit && this.sizeBytes - this.#start >= this.#limit.maximumBytes) this.#cut(this.#limit);
  }

  #takeBack(bytes: number): void {
    this.sizeBytes -= bytes;
    this.lostBytes += bytes;
    ftruncate(this.#data, this.sizeBytes);
  }

  close(): void {
    closeSync(this.#data);
    closeSync(this.#index);
  }

  /** The record that is cut says so before anything goes: a reader that finds one unchanged has read what was there. */
  #cut({ keptBytes }: LogLimit): void {
    try {
      const start = this.#lineStart(this.sizeBytes - keptBytes);
      const { record, position } = this.#recordBefore(start);
      if (position + recordBytes === this.#indexBytes) this.#addRecord(record); // for what is left of its chunk
      this.#putRecord({ ...record, end: start, isCut: true }, position);
      if (position > 0) punchHole(this.#index, position);
      punchHole(this.#data, start);
      this.#start = start;
    } catch (error) {
      this.cutFailure ??= error;
      this.#start = this.sizeBytes; // tried again after as much again
    }
  }

  #addRecord(record: LogRecord): void {
    this.#putRecord(record, this.#indexBytes);
    this.#indexBytes += recordBytes;
  }

  #putRecord(record: LogRecord, position: number): void {
    writeAt(this.#index, encodeRecord(record, this.#record), position);
  }

  /** After the first newline that comes from there on; there itself, where a line is longer than 64 KiB. */
  #lineStart(position: number): number {
    const block = Buffer.alloc(1 << 16);
    const length = readSync(this.#data, block, 0, block.length, position);
    return position + block.subarray(0, length).indexOf(newline) + 1;
  }

  /** The last one that ends there or earlier; else the first. Holes are earlier than all. */
  #recordBefore(end: number): { record: LogRecord; position: number } {
    let [low, high] = [0, this.#indexBytes / recordBytes];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      const record = this.#recordAt(middle);
      if (!record || record.end <= end) low = middle;
      else high = middle;
    }
    const record = this.#recordAt(low);
    if (record) return { record, position: low * recordBytes };
    return { record: this.#recordAt(high)!, position: high * recordBytes };
  }

  #recordAt(number: number): LogRecord | undefined {
    readSync(this.#index, this.#record, 0, recordBytes, number * recordBytes);
    return decodeRecord(this.#record);
  }
}

const newline = 10;
