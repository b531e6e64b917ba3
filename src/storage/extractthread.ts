/** A thread that extracts layers for src/extractors.ts, one after the other, each from a file that may still be growing. */

import { formatError, hintOf, PodError } from "../errors.ts";
import { readGrowing } from "./growing.ts";
import { extractLayer, type LayerPlace } from "./layers.ts";

/** Begins a layer. `parents` holds 0 until it is known what became of the layers below: 1 they are there, 2 they will never be. */
export interface Job {
  layer: LayerPlace;
  parents: Int32Array;
}

/** So many bytes of the file behind `fd` can be read. It is the last message of a job that says `isWhole`, or why there will be no more. */
export interface Growth {
  fd?: number;
  availableBytes?: number;
  isWhole?: boolean;
  failure?: string;
}

/** From the thread: how far it has read; then that it is done, with its failure if there is one. */
export type Answer = { readBytes: number } | { isDone: true; failure?: { message: string; hint?: string } };

declare const self: Worker; // this thread, as its maker sees it

let growth: Growth[] = [];
let fd: number;
let wake = () => {};

self.onmessage = ({ data }: MessageEvent<Job | Growth>) => {
  if ("layer" in data) {
    growth = [];
    void run(data);
  } else {
    growth.push(data);
    wake();
  }
};

async function run({ layer, parents }: Job): Promise<void> {
  try {
    const source = readGrowing(
      growing(),
      () => fd,
      (readBytes) => answer({ readBytes }),
    );
    await extractLayer(source, layer, () => waitFor(parents));
    answer({ isDone: true });
  } catch (error) {
    answer({ isDone: true, failure: { message: formatError(error), hint: hintOf(error) } });
  }
}

function answer(message: Answer): void {
  self.postMessage(message);
}

/** Blocks: there is nothing else to do here, and who asks is deep in synchronous code. */
function waitFor(parents: Int32Array): void {
  Atomics.wait(parents, 0, 0);
  if (parents[0] !== 1) throw new PodError("the layers below could not be extracted");
}

/** As the messages tell it. */
async function* growing(): AsyncGenerator<number> {
  for (;;) {
    const message = growth.shift();
    if (message?.failure) throw new PodError(message.failure);
    if (message?.isWhole) return;
    if (message) {
      fd = message.fd!;
      yield message.availableBytes!;
    } else await new Promise<void>((resolve) => (wake = resolve));
  }
}
