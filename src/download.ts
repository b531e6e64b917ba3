/** Blobs on their way into the store: several at once, and readable while they arrive. */

import { openSync } from "node:fs";
import type { Repository } from "./net/registry.ts";
import type { Descriptor } from "./spec.ts";
import { blobPath, hasBlob, openPartialBlob } from "./storage/blobs.ts";

/** What becomes of a download, in Docker's words; `bytes` of it are there. */
export type DownloadReport = (
  status: "Downloading" | "Verifying Checksum" | "Download complete",
  bytes: number,
) => void;

const growthBytes = 256 << 10;

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

/** One blob. Its readers follow the file on disk: a slow one costs no memory, and a resumed download is read from its start. */
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

  /** How many of the blob's bytes can be read, whenever there are clearly more; ends when the whole is verified. */
  async *growth(): AsyncGenerator<number> {
    for (let known = 0; ; ) {
      if (this.error) throw this.error;
      const isEnough = this.#available - known >= (this.isEnded ? 1 : growthBytes);
      if (isEnough) yield (known = this.#available);
      else if (this.isEnded) return;
      else await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Opens it for reading, once there is something of it. Finishing renames the file; the descriptor stays with it. */
  open(): number {
    return openSync(this.#path, "r");
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
