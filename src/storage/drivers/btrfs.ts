/** Each layer has, beside its files, a subvolume with all that it shows together with those below it; a container is a snapshot of the topmost. */

import { dirname, join } from "node:path";
import { hasCode, PodError } from "../../errors.ts";
import { existsSync, renameSync } from "../../ns/sys/fs.ts";
import { createSnapshot, createSubvolume } from "../../ns/sys/subvolume.ts";
import { containerDir } from "../containers.ts";
import { makeTemporaryDir, removeTree, withLock } from "../files.ts";
import { layerDir } from "../layers.ts";
import { applyLayer } from "../trees.ts";

/** The container's tree, which is made the first time. PodError where the store does not lie on btrfs. */
export function btrfsTree({ id, layers }: { id: string; layers: string[] }): string {
  const tree = join(containerDir(id), "tree");
  if (existsSync(tree)) return tree;
  try {
    makeSubvolume(treeOfLayers(layers), containerDir(id));
  } catch (cause) {
    if (!hasCode(cause, "ENOTTY", "EOPNOTSUPP", "EINVAL")) throw cause;
    throw new PodError("the storage driver btrfs needs a store on btrfs", { cause, hint: "try --storage-driver auto" });
  }
  return tree;
}

/** The subvolume of a layer lies in the layer's own folder, and goes with it. */
export function layerTree(chainId: string): string {
  return join(dirname(layerDir(chainId)), "tree");
}

function treeOfLayers(layers: string[]): string | undefined {
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
    applyLayer(layerDir(layer), join(temporary, "tree"));
    renameSync(join(temporary, "tree"), layerTree(layer));
  } finally {
    removeTree(temporary);
  }
}

function makeSubvolume(source: string | undefined, folder: string): void {
  if (source) createSnapshot(source, folder, "tree");
  else createSubvolume(folder, "tree");
}
