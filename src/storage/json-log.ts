/** `--log-driver json-file`: Docker's own format beside the log, for programs that read it: one JSON object a line. */

import { join } from "node:path";
import type { LogConfig } from "../log-options.ts";
import { writeAll } from "../ns/sys/descriptor.ts";
import { closeSync, existsSync, fstatSync, openSync, renameSync } from "../ns/sys/fs.ts";
import { formatTimestamp } from "../values.ts";
import type { LogStream } from "./log-format.ts";
import { paths } from "./store.ts";

/** The newest; older ones end in `.1`, `.2` and so on. */
export function jsonLogFile(id: string): string {
  return join(paths.containers, id, `${id}-json.log`);
}

const newline = 10;
const partBytes = 16 * 1024; // Docker's: a longer line comes in parts, and only the last one has a newline

export class JsonLog {
  readonly #limit: Pick<LogConfig, "maximumBytes" | "files">;
  readonly #attributes: { attrs?: Record<string, string> };
  readonly #path: string;
  #fd: number;
  /** With the lines that are still to be written. */
  #sizeBytes: number;
  readonly #lines: Buffer[] = [];
  /** Of each stream the line that has not ended. */
  readonly #begun: Record<LogStream, Uint8Array> = { stdout: new Uint8Array(), stderr: new Uint8Array() };

  /** `attributes` are said in every line. */
  constructor(id: string, limit: Pick<LogConfig, "maximumBytes" | "files">, attributes: Record<string, string>) {
    this.#path = jsonLogFile(id);
    this.#limit = limit;
    this.#attributes = Object.keys(attributes).length ? { attrs: attributes } : {};
    this.#fd = openSync(this.#path, "a", 0o600);
    this.#sizeBytes = fstatSync(this.#fd).size;
  }

  /** Throws where the disk is full. */
  append(stream: LogStream, bytes: Uint8Array, timeNs: bigint): void {
    const text = Buffer.concat([this.#begun[stream], bytes]);
    let start = 0;
    for (let end = partEnd(text, start); end !== undefined; end = partEnd(text, start)) {
      this.#add(stream, text.subarray(start, end), timeNs);
      start = end;
    }
    this.#begun[stream] = text.subarray(start);
    this.#flush();
  }

  /** A line that has not ended is written as it is. */
  close(): void {
    for (const stream of ["stdout", "stderr"] as const) {
      const rest = Buffer.from(this.#begun[stream]);
      if (rest.length) this.#add(stream, rest, BigInt(Date.now()) * 1_000_000n);
    }
    this.#flush();
    closeSync(this.#fd);
  }

  #add(stream: LogStream, bytes: Buffer, timeNs: bigint): void {
    const object = { log: bytes.toString(), stream, ...this.#attributes, time: formatTimestamp(timeNs) };
    const line = Buffer.from(`${JSON.stringify(object)}\n`);
    const { maximumBytes } = this.#limit;
    if (maximumBytes !== undefined && this.#sizeBytes > 0 && this.#sizeBytes + line.length > maximumBytes) {
      this.#flush();
      this.#rotate();
    }
    this.#lines.push(line);
    this.#sizeBytes += line.length;
  }

  #flush(): void {
    const lines = this.#lines.splice(0);
    if (lines.length) writeAll(this.#fd, Buffer.concat(lines));
  }

  #rotate(): void {
    for (let number = this.#limit.files - 1; number > 0; number--) {
      const from = number === 1 ? this.#path : `${this.#path}.${number - 1}`;
      if (existsSync(from)) renameSync(from, `${this.#path}.${number}`);
    }
    closeSync(this.#fd);
    this.#fd = openSync(this.#path, "w", 0o600);
    this.#sizeBytes = 0;
  }
}

/** Where the next line, or part of a long one, ends; undefined where it has not come to its end. */
function partEnd(text: Buffer, start: number): number | undefined {
  const end = text.indexOf(newline, start) + 1;
  const length = (end || text.length) - start;
  if (length > partBytes) return start + partBytes;
  return end || undefined;
}
