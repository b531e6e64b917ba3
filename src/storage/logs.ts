/** Reading containers' logs: log-format.ts says what they are made of. */

import { join } from "node:path";
import { PodError } from "../errors.ts";
import { POLLIN } from "../ns/constants.ts";
import { forgetChanges, patienceMs, poll, watchPaths } from "../ns/sys/descriptor.ts";
import { seekData } from "../ns/sys/file.ts";
import { closeSync, existsSync, fstatSync, openSync, readSync } from "../ns/sys/fs.ts";
import { decodeRecord, indexFile, type LogRecord, type LogStream, logFile, recordBytes } from "./log-format.ts";
import { LogWriter } from "./log-writer.ts";
import { paths } from "./store.ts";

export type { LogStream } from "./log-format.ts";

export interface LogChunk {
  timeNs: bigint;
  stream: LogStream;
  bytes: Uint8Array;
}

export interface LogRange {
  /** Only the last so many lines. */
  tail?: number;
  /** Nanoseconds since 1970. */
  since?: bigint;
  until?: bigint;
}

/**
 * What was logged so far by these containers, in order of time, and what follows as long as `isRunning` says yes of one.
 * Woken by inotify(7), no polling. The chunks' buffers are used again: copy what is kept.
 */
export function* readLogs(
  ids: string[],
  range: LogRange = {},
  isRunning?: (id: string) => boolean,
): Generator<[id: string, LogChunk]> {
  const known = ids.filter((id) => existsSync(logFile(id)));
  const changes = isRunning && watchChanges(known);
  const places = known.map((id): Place => ({ id, reader: new LogReader(id, range), next: undefined }));
  try {
    for (;;) {
      const running = isRunning && known.some(isRunning); // asked before reading: what is written until the end is read after it
      for (let place = earliest(places); place; place = earliest(places)) {
        yield [place.id, place.next!];
        place.next = undefined;
      }
      if (!running) return;
      poll([{ fd: changes ?? -1, events: POLLIN }], patienceMs(changes));
      if (changes !== undefined) forgetChanges(changes);
    }
  } finally {
    for (const { reader } of places) reader.close();
    if (changes !== undefined) closeSync(changes);
  }
}

/** States are renamed into the folders. Only where it is needed: the kernel takes milliseconds to end a watch. */
function watchChanges(ids: string[]): number | undefined {
  return watchPaths(ids.flatMap((id) => [indexFile(id), join(paths.containers, id)]));
}

interface Place {
  id: string;
  reader: LogReader;
  /** What has been read and not been given out yet. */
  next: LogChunk | undefined;
}

function earliest(places: Place[]): Place | undefined {
  for (const place of places) place.next ??= place.reader.next();
  const waiting = places.filter(({ next }) => next);
  return waiting.reduce<Place | undefined>((a, b) => (a && a.next!.timeNs <= b.next!.timeNs ? a : b), undefined);
}

/**
 * A place in a log that is being written. It keeps its files open: what was logged can be read to the end also when the
 * container has been removed.
 */
export class LogReader {
  private readonly data: number;
  private readonly index: number;
  private readonly skip: number;
  private dataAt: number;
  private indexAt: number;
  private records = Buffer.alloc(recordBytes * 256);
  private recordsLeft: Buffer = Buffer.alloc(0);
  private chunk = Buffer.alloc(1 << 16);
  private readonly checked = Buffer.alloc(recordBytes);

  constructor(
    id: string,
    private readonly range: LogRange = {},
  ) {
    this.data = openSync(logFile(id), "r");
    this.index = openSync(indexFile(id), "r");
    this.indexAt = seekData(this.index, 0)?.start ?? 0;
    this.dataAt = this.begin();
    this.skip = range.tail === undefined ? 0 : tailStart(this.data, range.tail, this.dataAt);
    if (this.skip > this.dataAt) this.seek(this.skip);
  }

  /** To the record of the chunk in which this place lies. Those in holes are earlier than all. */
  private seek(position: number): void {
    let [low, high] = [this.indexAt / recordBytes, Math.floor(fstatSync(this.index).size / recordBytes)];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.recordAt(middle * recordBytes)?.end ?? 0) <= position) low = middle + 1;
      else high = middle;
    }
    const previous = low > 0 ? this.recordAt((low - 1) * recordBytes) : undefined;
    if (!previous || previous.end <= this.dataAt) return;
    this.dataAt = previous.end;
    this.indexAt = low * recordBytes;
    this.recordsLeft = Buffer.alloc(0);
  }

  /** The next chunk that is there; undefined where there is none yet. Its buffer is used again. Throws where it has been cut off. */
  next(): LogChunk | undefined {
    for (let found = this.nextRecord(); found; found = this.nextRecord()) {
      const { record, position } = found;
      const start = Math.max(this.dataAt, this.skip);
      if (record.isCut && record.end > start && !this.hasBefore(position)) throw cutOff();
      this.dataAt = record.end;
      if (this.dataAt <= start || !this.isWanted(record.timeNs)) continue;
      const length = this.dataAt - start;
      if (this.chunk.length < length) this.chunk = Buffer.alloc(length);
      const count = readSync(this.data, this.chunk, 0, length, start);
      this.checkThere(record, position);
      return { timeNs: record.timeNs, stream: record.stream, bytes: this.chunk.subarray(0, count) };
    }
    return undefined;
  }

  /** Where the next chunk begins, in all that was ever written. */
  get position(): number {
    return this.dataAt;
  }

  private nextRecord(): { record: LogRecord; position: number } | undefined {
    for (;;) {
      if (this.recordsLeft.length === 0) {
        const length = readSync(this.index, this.records, 0, this.records.length, this.indexAt);
        this.recordsLeft = this.records.subarray(0, length - (length % recordBytes));
        if (this.recordsLeft.length === 0) return undefined;
      }
      const record = decodeRecord(this.recordsLeft);
      const position = this.indexAt;
      this.recordsLeft = this.recordsLeft.subarray(recordBytes);
      this.indexAt += recordBytes;
      if (record) return { record, position };
    }
  }

  /** Data goes after its records have: so what was read is right if its record still is what it was. */
  private checkThere({ end, isCut }: LogRecord, position: number): void {
    const now = this.recordAt(position);
    if (!now || now.isCut !== isCut || now.end !== end || (isCut && !this.hasBefore(position))) throw cutOff();
  }

  /** Whether the cut at this record has not gone on: records go before data, and its writer may have been killed. */
  private hasBefore(position: number): boolean {
    return position > 0 && this.recordAt(position - recordBytes) !== undefined;
  }

  private recordAt(position: number): LogRecord | undefined {
    readSync(this.index, this.checked, 0, recordBytes, position);
    return decodeRecord(this.checked);
  }

  /** Where what has not been cut off begins. */
  private begin(): number {
    const first = this.nextRecord();
    if (!first) return 0;
    this.indexAt = first.position;
    this.recordsLeft = Buffer.alloc(0);
    return first.record.isCut ? first.record.end : 0;
  }

  private isWanted(timeNs: bigint): boolean {
    const { since, until } = this.range;
    return (since === undefined || timeNs >= since) && (until === undefined || timeNs < until);
  }

  close(): void {
    closeSync(this.data);
    closeSync(this.index);
  }
}

function cutOff(): PodError {
  return new PodError("output was lost: it was cut off the log before it was read", {
    hint: "give the log more space with --log-opt max-size=…",
  });
}

/** Makes a log that is empty, so that it can be read before anything is written. */
export function makeLog(id: string): void {
  new LogWriter(id).close();
}

/** The offset where the last `lines` lines begin, but not before `begin`: read backwards, a block at a time. */
function tailStart(data: number, lines: number, begin: number): number {
  const size = fstatSync(data).size;
  if (lines <= 0) return size;
  const block = Buffer.alloc(1 << 16);
  let found = 0;
  for (let end = size; end > begin; ) {
    const start = Math.max(begin, end - block.length);
    readSync(data, block, 0, end - start, start);
    for (let at = end - start - 1; at >= 0; at--) {
      if (block[at] !== 10 || start + at === size - 1) continue; // the newline that ends the last line does not begin one
      if (++found === lines) return start + at + 1;
    }
    end = start;
  }
  return begin;
}
