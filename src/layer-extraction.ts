/** The layers of an image, extracted two at once: one by this process, and where there is a processor more one by a helper. */

import { availableParallelism } from "node:os";
import { LayerHelper } from "./layer-helper.ts";
import type { LayerSource } from "./storage/layers.ts";

/** A layer to be made. */
export interface LayerJob {
  layer: LayerSource;
  /** Of its blob. */
  size: number;
  /** Settles when the blob can be read from `files`: the second is what it may be called by then. False where it will not come. */
  isWhole: Promise<boolean>;
  files: [path: string, newPath?: string];
  /** Makes it in this process, perhaps while the blob arrives. */
  extract(): Promise<void>;
  /** So many bytes of the blob are read. */
  onBytes(bytes: number): void;
  onDone(): void;
}

const worthwhileBytes = 2 << 20; // a helper takes some 30 ms to start

/** Makes them all; `jobs` begin with the lowest. Fails with the first failure, and leaves nothing running. */
export async function extractLayers(jobs: LayerJob[]): Promise<void> {
  const making = new Map<LayerJob, Promise<boolean>>();
  const helper = new LayerHelper();
  const isHelped = jobs.length > 1 && availableParallelism() > 1;
  if (isHelped) help(helper, jobs, making).catch(() => {}); // it is told below
  try {
    for (const job of jobs) {
      if (!making.has(job)) making.set(job, extractHere(job));
      if (!(await making.get(job))) await job.extract();
      job.onDone();
    }
  } finally {
    await helper.end();
  }
}

/** This process waits for nothing within a layer: it makes one whose lower ones are there. */
async function extractHere(job: LayerJob): Promise<boolean> {
  await job.extract();
  return true;
}

/** The helper may wait: it makes what comes next, as soon as the blob is there. Returns where it has ended, with its layer not made. The first is not for it. */
async function help(helper: LayerHelper, jobs: LayerJob[], making: Map<LayerJob, Promise<boolean>>): Promise<void> {
  for (const job of jobs.slice(1)) {
    if (job.size < worthwhileBytes || !(await job.isWhole) || making.has(job)) continue;
    making.set(job, helper.extract(job, job.onBytes));
    if (!(await making.get(job))) return;
  }
}
