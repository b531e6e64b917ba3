/** What the monitor writes of a container's output: the log that everybody here reads, and what `--log-driver` asks for besides. */

import { formatError } from "../errors.ts";
import type { LogConfig } from "../log-options.ts";
import { rmSync } from "../ns/sys/fs.ts";
import { JsonLog } from "./json-log.ts";
import { indexFile, type LogStream, logFile } from "./log-format.ts";
import { type LogLimit, LogWriter } from "./log-writer.ts";

export class ContainerLog {
  readonly #limit: LogLimit | undefined;
  readonly #log: LogWriter;
  readonly #json: JsonLog | undefined;
  #jsonLostBytes = 0;

  constructor(
    readonly id: string,
    readonly config: LogConfig,
    attributes: Record<string, string>,
  ) {
    this.#limit = toLimit(config);
    this.#log = new LogWriter(id, this.#limit);
    if (config.driver === "json-file") this.#json = new JsonLog(id, config, attributes);
  }

  /** Never throws. */
  append(stream: LogStream, bytes: Uint8Array): void {
    const timeNs = BigInt(Date.now()) * 1_000_000n;
    this.#log.append(stream, bytes, timeNs);
    try {
      this.#json?.append(stream, bytes, timeNs);
    } catch {
      this.#jsonLostBytes += bytes.length; // at most: a part may be there
    }
  }

  get sizeBytes(): number {
    return this.#log.sizeBytes;
  }

  /** Whether who has read up to there is so far behind that it may be cut off soon. */
  isFarFrom(position: number): boolean {
    return this.#limit !== undefined && this.sizeBytes - position > this.#limit.keptBytes / 2;
  }

  /** What clients can't have got, for they read it here. */
  get lostBytes(): number {
    return this.#log.lostBytes;
  }

  /** What `ps` and `inspect` are to tell of it. */
  get failure(): string | undefined {
    const { lostBytes, cutFailure } = this.#log;
    const lost = Math.max(lostBytes, this.#jsonLostBytes);
    if (lost) return `${lost} bytes of its log were lost`;
    return cutFailure ? `its log grows without a limit: ${formatError(cutFailure)}` : undefined;
  }

  /** Of the driver `none` nothing stays; who reads it has the files open. Never throws. */
  close(): void {
    this.#log.close();
    try {
      this.#json?.close();
    } catch {
      // the end of a line that was not ended is lost: the disk is full
    }
    if (this.config.driver !== "none") return;
    for (const file of [logFile(this.id), indexFile(this.id)]) rmSync(file, { force: true });
  }
}

/** A client may be behind by what is in two full pipes and a socket, and must still find it. */
const leastBytes = 8 << 20;

/** The files are one here, from whose beginning parts go: the oldest of several; half of an only one. */
function toLimit({ maximumBytes, files }: LogConfig): LogLimit | undefined {
  if (maximumBytes === undefined) return undefined;
  const total = Math.max(maximumBytes * files, leastBytes);
  return { maximumBytes: total, keptBytes: Math.floor(total * (files > 1 ? 1 - 1 / files : 1 / 2)) };
}
