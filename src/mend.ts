/** Layers that a power cut has broken, or that were not synced before a shutdown: the first command of a boot makes them again. */

import { type Layer, toLayers } from "./documents.ts";
import { formatError, hasCode, rootCause } from "./errors.ts";
import { syncLayersLater } from "./later.ts";
import { enterUserNamespace } from "./ns/userns.ts";
import { blobPath, hasBlob } from "./storage/blobs.ts";
import { withLockAsync } from "./storage/files.ts";
import { holdLease, type Image, listImages } from "./storage/images.ts";
import { discardBroken, extractLayer } from "./storage/layer-making.ts";
import { brokenLayers, hasLayer } from "./storage/layers.ts";
import { readFile } from "./storage/reading.ts";
import { isLookedThrough, recordLookedThrough } from "./storage/store.ts";
import { partsOf } from "./storage/used.ts";

/**
 * Removes what is left of layers that are not whole, and extracts those that images have again, of their blobs. Of a
 * layer that can't be made `note` is told, and the command goes on: it says so where it needs that one. To be called
 * before layers are used or blobs collected. Enters the user's namespace where there is something to do.
 */
export async function mendLayers(note: (text: string) => void): Promise<void> {
  if (!brokenLayers().length && !missingLayers().length) return recordLookedThrough();
  enterUserNamespace();
  await withLockAsync("mend", async () => {
    if (isLookedThrough()) return; // another command has just done it
    const lease = holdLease(() => readableImages().flatMap(partsOf));
    try {
      await discardBroken();
      if (await extractAgain(missingLayers(), note)) recordLookedThrough();
    } finally {
      lease.release();
    }
  });
  syncLayersLater();
}

/** False where the disk is full: the next command tries again. */
async function extractAgain(layers: Layer[], note: (text: string) => void): Promise<boolean> {
  if (layers.length) note(`extracting ${layers.length} layers again that were not on disk when the machine stopped`);
  for (const layer of layers) {
    try {
      await extractLayer(readFile(blobPath(layer.blob)), layer);
    } catch (error) {
      note(formatError(error));
      if (hasCode(rootCause(error), "ENOSPC", "EDQUOT")) return false;
    }
  }
  return true;
}

/** Those of images that can be made of their blobs, the lower ones first. */
function missingLayers(): Layer[] {
  const layers = readableImages().flatMap(({ manifest, config }) => toLayers(manifest, config));
  const missing = layers.filter(({ chainId, blob }) => !hasLayer(chainId) && hasBlob(blob));
  return [...new Map(missing.map((layer) => [layer.chainId, layer])).values()];
}

/** None where the index or one of them is damaged, which the command tells itself: `system check` is to work then. */
function readableImages(): Image[] {
  try {
    return listImages();
  } catch {
    return [];
  }
}
