/** Blobs on their way into the store: several at once, and readable while they arrive. */

import { closeSync, openSync, readSync } from "node:fs";
import type { Repository } from "./net/registry.ts";
import type { Descriptor } from "./spec.ts";
import { blobPath, hasBlob, openPartialBlob } from "./storage/blobs.ts";

/** What becomes of a download, in Docker's words; `bytes` of it are there. */
export type DownloadReport = (
  status: "Downloading" | "Verifying Checksum" | "Download complete",
  bytes: number,
) => void;

const readBytes = 128 << 10;

/** Runs the downloads in their order, at most `lanes` at once. A failure or an abort stops all; what they have stays for the next time. */
export async function runDownloads(
  downloads: Download[],
  repository: Repository,
  lanes: number,
  controller: AbortController,
): Promise<void> {
  const waiting = [...downloads];
  const lane = async () => {
    for (let next: Download | undefined; (next = waiting.shift()); ) {
      await next.run(repository, controller.signal);
    }
  };
  const stopping = Array.from({ length: lanes }, () => lane().catch((error) => controller.abort(error)));
  await Promise.all(stopping);
  for (const download of waiting) download.fail(controller.signal.reason);
  controller.signal.throwIfAborted();
}

/** One blob. Its reader follows the file on disk: a slow one costs no memory, and a resumed download is read from its start. */
export class Download {
  /** Settles, and never fails, when the blob is in place or given up. */
  readonly ended: Promise<void>;
  isEnded = false;
  /** Why it was given up. */
  error: unknown;
  /** True where the bytes were wrong and some of them were left by an earlier process. */
  damaged = false;
  #end: () => void;
  #path: string;
  #available = 0;
  #wake: (() => void)[] = [];

  constructor(
    readonly descriptor: Descriptor,
    private readonly report: DownloadReport,
  ) {
    this.#path = blobPath(descriptor.digest);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = resolve;
  }

  /** One that is in the store already. */
  static ofBlob(descriptor: Descriptor): Download {
    const download = new Download(descriptor, () => {});
    download.#complete();
    return download;
  }

  /** Gets what is missing of the blob, verified and in place in the end. Where this fails its readers fail too. */
  async run(repository: Repository, signal: AbortSignal): Promise<void> {
    try {
      if (!hasBlob(this.descriptor.digest)) await this.#fetch(repository, signal);
      this.report("Download complete", this.descriptor.size);
      this.#complete();
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  fail(error: unknown): void {
    this.error = error;
    this.#settle();
  }

  /** The blob's bytes from the first, as they arrive; ends when the whole is verified. */
  async *read(): AsyncGenerator<Uint8Array> {
    let file: number | undefined;
    try {
      for (let offset = 0; ; ) {
        if (this.error) throw this.error;
        if (offset < this.#available) {
          file ??= openSync(this.#path, "r"); // finishing renames the file; the descriptor stays with it
          const buffer = Buffer.allocUnsafe(Math.min(readBytes, this.#available - offset));
          const length = readSync(file, buffer, 0, buffer.length, offset);
          offset += length;
          yield buffer.subarray(0, length);
        } else if (this.isEnded) {
          return;
        } else {
          await new Promise<void>((resolve) => this.#wake.push(resolve));
        }
      }
    } finally {
      if (file !== undefined) closeSync(file);
    }
  }

  async #fetch(repository: Repository, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const partial = await openPartialBlob(this.descriptor);
    if (!partial) return; // another process has brought it meanwhile
    let isWhole = false;
    const resumed = partial.offset > 0;
    try {
      this.#path = partial.path;
      this.#advance(partial.offset);
      for await (const chunk of repository.blob(this.descriptor, partial.offset, signal)) {
        partial.write(chunk);
        this.#advance(chunk.length);
      }
      this.report("Verifying Checksum", this.#available);
      isWhole = true;
      await partial.finish();
    } catch (error) {
      this.damaged = resumed && isWhole;
      throw error;
    } finally {
      partial.close();
    }
  }

  #advance(bytes: number): void {
    this.#available += bytes;
    this.report("Downloading", this.#available);
    this.#wakeReaders();
  }

  #complete(): void {
    this.#path = blobPath(this.descriptor.digest);
    this.#available = this.descriptor.size;
    this.#settle();
  }

  #settle(): void {
    this.isEnded = true;
    this.#wakeReaders();
    this.#end();
  }

  #wakeReaders(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
