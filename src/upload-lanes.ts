/** Blobs on their way into a registry: several at once. */

import { closeSync, openSync, readSync } from "node:fs";
import { PodError } from "./errors.ts";
import type { Destination } from "./net/destination.ts";
import type { Blob } from "./net/upload.ts";
import type { UploadStatus } from "./progress.ts";
import type { Descriptor } from "./spec.ts";
import { blobPath, hasBlob } from "./storage/blobs.ts";

export interface Upload {
  blob: Blob;
  /** Hears what becomes of it, in Docker's words. */
  tell(status: UploadStatus, sizes?: { currentBytes: number; totalBytes: number }): void;
}

const lanes = 5; // Docker's max-concurrent-uploads
const readBytes = 1 << 20;
/** Such layers stay where their `urls` say: image-spec layer.md, "Non-Distributable Layers", and Docker's older name for them. */
const foreignLayer = /^application\/vnd\.(oci\.image\.layer\.nondistributable|docker\.image\.rootfs\.foreign)\./;

/** Begins them in their order. One that fails stops the others, and its error is thrown. */
export async function uploadBlobs(uploads: Upload[], destination: Destination): Promise<void> {
  const controller = new AbortController();
  const waiting = [...uploads];
  for (const { tell } of waiting) tell("Preparing");
  for (const { tell } of waiting.slice(lanes)) tell("Waiting");
  const lane = async () => {
    for (let next = waiting.shift(); next && !controller.signal.aborted; next = waiting.shift()) {
      await upload(next, destination, controller.signal);
    }
  };
  await Promise.all(Array.from({ length: lanes }, () => lane().catch((error) => controller.abort(error))));
  controller.signal.throwIfAborted();
}

/** A blob of the store; `source` as `Blob` has it. */
export function storedBlob(descriptor: Descriptor, source?: string): Blob {
  return { descriptor, source, read: (offset) => readFrom(descriptor, offset) };
}

async function upload({ blob, tell }: Upload, destination: Destination, signal: AbortSignal): Promise<void> {
  if (foreignLayer.test(blob.descriptor.mediaType)) return tell("Skipped foreign layer");
  const totalBytes = blob.descriptor.size;
  const outcome = await destination.putBlob(
    blob,
    (sent) => tell("Pushing", { currentBytes: sent, totalBytes }),
    signal,
  );
  const words = { existed: "Layer already exists", mounted: `Mounted from ${blob.source}`, sent: "Pushed" } as const;
  tell(words[outcome]);
}

async function* readFrom({ digest }: Descriptor, offset: number): AsyncGenerator<Uint8Array> {
  if (!hasBlob(digest)) throw new PodError(`blob ${digest} is not in the store`, { hint: "pull the image again" });
  const file = openSync(blobPath(digest), "r");
  try {
    for (let position = offset; ; ) {
      const buffer = Buffer.allocUnsafe(readBytes);
      const length = readSync(file, buffer, 0, buffer.length, position);
      if (!length) return;
      position += length;
      yield buffer.subarray(0, length);
    }
  } finally {
    closeSync(file);
  }
}
