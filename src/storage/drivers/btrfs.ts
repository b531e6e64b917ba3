/** Each layer has, beside its files, a subvolume with all that it shows together with those below it; a container is a snapshot of the topmost. */

import { dirname, join } from "node:path";
import { hasCode, PodError } from "../../errors.ts";
import { existsSync, renameSync } from "../../ns/sys/fs.ts";
import { createSnapshot, createSubvolume } from "../../ns/sys/subvolume.ts";
import { makeTemporaryDir, removeTree, syncStore, withLock } from "../files.ts";
import { layerDir } from "../layers.ts";
import { applyLayer, treeName } from "../trees.ts";

/** Makes the tree of the layers, the lowest first, in `folder`. PodError where the store does not lie on btrfs. */
export function makeBtrfsTree(layers: string[], folder: string): void {
  try {
    makeSubvolume(treeOfLayers(layers), folder);
  } catch (cause) {
    if (!hasCode(cause, "ENOTTY", "EOPNOTSUPP", "EINVAL")) throw cause;
    throw new PodError("the storage driver btrfs needs a store on btrfs", { cause, hint: "try --storage-driver auto" });
  }
}

/** The subvolume of the topmost, with those below it made where they are not there; undefined where there are no layers. */
export function treeOfLayers(layers: string[]): string | undefined {
  const ready = layers.findLastIndex((layer) => existsSync(layerTree(layer)));
  let below = ready === -1 ? undefined : layerTree(layers[ready]!);
  for (const layer of layers.slice(ready + 1)) {
    withLock("trees", () => makeLayerTree(layer, below));
    below = layerTree(layer);
  }
  return below;
}

function makeLayerTree(layer: string, below: string | undefined): void {
  if (existsSync(layerTree(layer))) return;
  const temporary = makeTemporaryDir();
  try {
    makeSubvolume(below, temporary);
    applyLayer(layerDir(layer), join(temporary, treeName));
    syncStore();
    renameSync(join(temporary, treeName), layerTree(layer));
  } finally {
    removeTree(temporary);
  }
}

/** In the layer's own folder, with which it goes. */
function layerTree(chainId: string): string {
  return join(dirname(layerDir(chainId)), treeName);
}

function makeSubvolume(source: string | undefined, folder: string): void {
  if (source) createSnapshot(source, folder, treeName);
  else createSubvolume(folder, treeName);
}
