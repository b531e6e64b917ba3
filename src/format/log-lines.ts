/** Log chunks on their way to stdout and stderr. */

import type { LogChunk } from "../storage/logs.ts";

type Stream = LogChunk["stream"];
const newline = 10;
const bufferBytes = 1 << 16;

/** Gathers small chunks into larger writes: a log has a chunk for every write(2) of its program. */
export class LogPrinter {
  private readonly buffer = Buffer.alloc(bufferBytes);
  private length = 0;
  private stream: Stream = "stdout";
  /** Streams that are within a line. */
  private readonly midLine = new Set<Stream>();

  constructor(
    private readonly write: (stream: Stream, bytes: Uint8Array) => void,
    private readonly options: { timestamps: boolean },
  ) {}

  /** Takes the chunk's bytes before it returns. */
  push({ stream, timeNs, bytes }: LogChunk): void {
    if (!this.options.timestamps) return this.put(stream, bytes);
    for (let start = 0; start < bytes.length; ) {
      const end = bytes.indexOf(newline, start) + 1 || bytes.length;
      if (!this.midLine.has(stream)) this.put(stream, Buffer.from(`${formatTimestamp(timeNs)} `));
      this.put(stream, bytes.subarray(start, end));
      if (bytes[end - 1] === newline) this.midLine.delete(stream);
      else this.midLine.add(stream);
      start = end;
    }
  }

  flush(): void {
    const pending = this.buffer.subarray(0, this.length);
    this.length = 0;
    if (pending.length) this.write(this.stream, pending);
  }

  private put(stream: Stream, bytes: Uint8Array): void {
    if (stream !== this.stream || this.length + bytes.length > bufferBytes) this.flush();
    this.stream = stream;
    if (bytes.length > bufferBytes) return this.write(stream, bytes);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }
}

/** RFC 3339 with all nine digits, as Docker: `2026-01-02T12:00:00.123456789Z`. */
export function formatTimestamp(timeNs: bigint): string {
  const seconds = new Date(Number(timeNs / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(timeNs % 1_000_000_000n).padStart(9, "0")}Z`;
}
