/** A full copy of the image's files for each container: works everywhere, takes space and time; file systems with shared extents save the space. */

import { join } from "node:path";
import { existsSync, mkdirSync, renameSync } from "../../ns/sys/fs.ts";
import { containerDir } from "../containers.ts";
import { makeTemporaryDir, removeTree } from "../files.ts";
import { layerDir } from "../layers.ts";
import { applyLayer } from "../trees.ts";

/** The container's tree, which is made the first time. */
export function vfsTree({ id, layers }: { id: string; layers: string[] }): string {
  const tree = join(containerDir(id), "tree");
  if (existsSync(tree)) return tree;
  const temporary = makeTemporaryDir();
  try {
    const fresh = join(temporary, "tree");
    mkdirSync(fresh, { mode: 0o755 });
    for (const layer of layers) applyLayer(layerDir(layer), fresh);
    renameSync(fresh, tree);
  } finally {
    removeTree(temporary);
  }
  return tree;
}
