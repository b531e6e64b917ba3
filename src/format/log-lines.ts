/** Log chunks on their way to stdout and stderr. */

import type { LogChunk } from "../storage/logs.ts";
import { formatTimestamp } from "../values.ts";

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
  /** With a label: lines that have not ended. */
  private readonly held: Record<Stream, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };

  constructor(
    private readonly write: (stream: Stream, bytes: Uint8Array) => void,
    /** `label` stands before each line; only whole lines are printed then, since several containers' lines mix. */
    private readonly options: { timestamps: boolean; label?: string },
  ) {}

  /** Takes the chunk's bytes before it returns. */
  push(chunk: LogChunk): void {
    const { stream, bytes } = chunk;
    if (!this.options.label) return this.lines(chunk);
    const text = Buffer.concat([this.held[stream], bytes]);
    const end = text.lastIndexOf(newline) + 1;
    this.held[stream] = text.subarray(end);
    this.lines({ ...chunk, bytes: text.subarray(0, end) });
  }

  private lines({ stream, timeNs, bytes }: LogChunk): void {
    const { timestamps, label = "" } = this.options;
    if (!timestamps && !label) return this.put(stream, bytes);
    const head = Buffer.from(timestamps ? `${label}${formatTimestamp(timeNs)} ` : label);
    for (let start = 0; start < bytes.length; ) {
      const end = bytes.indexOf(newline, start) + 1 || bytes.length;
      if (!this.midLine.has(stream)) this.put(stream, head);
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

  /** The log has ended. */
  finish(): void {
    for (const stream of ["stdout", "stderr"] as const) {
      const rest = this.held[stream];
      if (rest.length) this.put(stream, Buffer.concat([Buffer.from(this.options.label!), rest, Buffer.from("\n")]));
    }
    this.flush();
  }

  private put(stream: Stream, bytes: Uint8Array): void {
    if (stream !== this.stream || this.length + bytes.length > bufferBytes) this.flush();
    this.stream = stream;
    if (bytes.length > bufferBytes) return this.write(stream, bytes);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }
}
