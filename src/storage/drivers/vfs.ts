/** A full copy of the image's files for each container: works everywhere, takes space and time; file systems with shared extents save the space. */

import { join } from "node:path";
import { mkdirSync, renameSync } from "../../ns/sys/fs.ts";
import { makeTemporaryDir, removeTree, syncStore } from "../files.ts";
import { layerDir } from "../layers.ts";
import { applyLayer, treeName } from "../trees.ts";

/** Makes the tree of the layers, the lowest first, in `folder`. */
export function makeVfsTree(layers: string[], folder: string): void {
  const temporary = makeTemporaryDir();
  try {
    const tree = join(temporary, treeName);
    mkdirSync(tree, { mode: 0o755 });
    for (const layer of layers) applyLayer(layerDir(layer), tree);
    syncStore();
    renameSync(tree, join(folder, treeName));
  } finally {
    removeTree(temporary);
  }
}
