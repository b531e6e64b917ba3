/** Layers are extracted in threads of their own, several at once: storage/extractthread.ts is the other side. */

import { closeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { config } from "./config.ts";
import type { Download } from "./download.ts";
import { formatError, PodError } from "./errors.ts";
import type { Answer, Growth, Job } from "./storage/extractthread.ts";
import { readGrowing } from "./storage/growing.ts";
import { extractLayer, type LayerPlace } from "./storage/layers.ts";

/** Each has a thread beside it that decompresses, and there is the one that downloads: more would wait, and take memory. */
const threadsMaximum = Math.min(Math.max(1, availableParallelism() >> 1), 2);

/** How many of the blob's bytes were read. */
type ReadReport = (readBytes: number) => void;

export class Extractors {
  readonly #idle: Worker[] = [];
  readonly #waiting: ((thread: Worker) => void)[] = [];
  #count = 0;

  /** Without threads `start` does the work itself. The first one begins to load now. */
  constructor(readonly withThreads: boolean) {
    if (withThreads) this.#idle.push(this.#newThread());
  }

  /**
   * Begins to extract a layer from its blob while that is downloaded, as soon as a thread is free. Layers are to come from the lowest
   * up, so that one that waits for those below, `parents`, never keeps a thread from them. `done` resolves when the layer and its blob
   * are in place; it fails as the download does, else with a PodError.
   */
  async start(
    layer: LayerPlace,
    download: Download,
    parents: Promise<unknown>,
    report: ReadReport,
  ): Promise<{ done: Promise<void> }> {
    parents.catch(() => {}); // who waits for those layers hears of it
    if (!this.withThreads) {
      const done = extractHere(layer, download, report);
      await done.catch(() => {});
      return { done };
    }
    const thread = await this.#take();
    const done = extractIn(thread, layer, download, parents, report).finally(() => this.#give(thread));
    return { done };
  }

  /** To be called when all that was started is done. */
  close(): void {
    for (const thread of this.#idle) thread.terminate();
  }

  async #take(): Promise<Worker> {
    const idle = this.#idle.pop();
    if (idle) return idle;
    if (this.#count < threadsMaximum) return this.#newThread();
    return await new Promise((resolve) => this.#waiting.push(resolve));
  }

  #give(thread: Worker): void {
    const next = this.#waiting.shift();
    if (next) next(thread);
    else this.#idle.push(thread);
  }

  #newThread(): Worker {
    this.#count++;
    const name = "storage/extractthread";
    return new Worker(config.isCompiled ? `/$bunfs/root/${name}.js` : `${import.meta.dir}/${name}.ts`);
  }
}

async function extractHere(layer: LayerPlace, download: Download, report: ReadReport): Promise<void> {
  let fd: number | undefined;
  const source = readGrowing(download.growth(), () => (fd ??= download.open()), report);
  try {
    await extractLayer(source, layer);
  } catch (error) {
    throw await reasonOf(download, error);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
  await download.ended; // where the layer is there already, nobody has read it
  if (download.error) throw download.error;
}

async function extractIn(
  thread: Worker,
  layer: LayerPlace,
  download: Download,
  parents: Promise<unknown>,
  report: ReadReport,
): Promise<void> {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const open = (state: number) => {
    Atomics.store(gate, 0, state);
    Atomics.notify(gate, 0);
  };
  parents.then(
    () => open(1),
    () => open(2),
  );
  const result = resultOf(thread, report);
  thread.postMessage({ layer, parents: gate } satisfies Job);
  const tell = (growth: Growth) => thread.postMessage(growth);
  let fd: number | undefined;
  try {
    for await (const availableBytes of download.growth()) {
      fd ??= download.open();
      tell({ fd, availableBytes });
    }
    tell({ isWhole: true });
  } catch (error) {
    tell({ failure: formatError(error) });
  }
  try {
    await result;
  } catch (error) {
    throw await reasonOf(download, error);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
  if (download.error) throw download.error;
}

/** Where the blob's bytes were wrong, that is the reason why the layer can't be made, and they must not stay. */
async function reasonOf(download: Download, error: unknown): Promise<unknown> {
  await download.ended;
  return download.error ?? error;
}

function resultOf(thread: Worker, report: ReadReport): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  promise.catch(() => {}); // it may fail before anybody waits for it
  thread.onerror = ({ message }) => reject(new PodError(`extract a layer: ${message}`));
  thread.onmessage = ({ data }: MessageEvent<Answer>) => {
    if ("readBytes" in data) report(data.readBytes);
    else if (data.failure) reject(new PodError(data.failure.message, { hint: data.failure.hint }));
    else resolve();
  };
  return promise;
}
