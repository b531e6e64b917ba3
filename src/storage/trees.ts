/** Layers as one plain tree: for the drivers that mount nothing. */

import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "../ns/constants.ts";
import {
  linkAtBytes,
  listDirectoryBytes,
  listXattrsOf,
  mkdirAtBytes,
  openAtBytes,
  removeXattrOf,
  setTimesOf,
  statAtBytes,
} from "../ns/sys/bytes.ts";
import { close, open } from "../ns/sys/file.ts";
import { attributesOf, type Skipped, setAttributes } from "./attributes.ts";
import { copyUp } from "./copyup.ts";
import { isDirectory } from "./lower.ts";
import { removeAt } from "./remove.ts";
import { isOpaque, isWhiteout, opaqueName, whiteoutPrefix } from "./whiteouts.ts";

/** What a tree is called, in a container's folder and in a layer's. */
export const treeName = "tree";

const readFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/**
 * Puts a layer upon the tree of those below it, so that it shows what an overlay of them would. Contents are shared where the file
 * system can do that, else copied. Needs the ids of the user's namespace.
 */
export function applyLayer(layerDir: string, treeDir: string): void {
  const from = open(layerDir, readFolder);
  const to = open(treeDir, readFolder);
  try {
    applyFolder({ from, to, path: "" }, { rootFd: to, links: new Map() });
  } finally {
    close(from);
    close(to);
  }
}

/** One folder in both; `path` is its way from the tree's root, as a prefix. */
interface Pair {
  from: number;
  to: number;
  path: string;
}

interface Tree {
  rootFd: number;
  /** Paths of files with several names, by their inode in the layer. */
  links: Map<bigint, string>;
}

const skipped: Skipped = { devices: 0, xattrs: 0, owners: 0 }; // the layer's own record tells them

function applyFolder({ from, to, path }: Pair, tree: Tree): void {
  if (isOpaque(from)) for (const { name } of listDirectoryBytes(to)) removeAt(to, name);
  for (const { name } of listDirectoryBytes(from)) {
    if (name === opaqueName) continue;
    const status = statAtBytes(from, name)!;
    if (name.startsWith(whiteoutPrefix)) removeAt(to, name.slice(whiteoutPrefix.length));
    else if (isWhiteout(from, name, status)) removeAt(to, name);
    else if (isDirectory(status)) enterFolder({ from, to, path }, name, tree);
    else {
      removeAt(to, name);
      const known = status.links > 1 ? tree.links.get(status.inode) : undefined;
      if (known !== undefined) linkAtBytes(tree.rootFd, known, to, name);
      else copyUp({ dirFd: from, name, status }, to, name, skipped);
      if (status.links > 1) tree.links.set(status.inode, path + name);
    }
  }
  copyAttributes(from, to);
}

function enterFolder({ from, to, path }: Pair, name: string, tree: Tree): void {
  const there = statAtBytes(to, name);
  if (!there || !isDirectory(there)) {
    removeAt(to, name);
    mkdirAtBytes(to, name, 0o700);
  }
  const inner = { from: openAtBytes(from, name, readFolder), to: openAtBytes(to, name, readFolder) };
  try {
    applyFolder({ ...inner, path: `${path}${name}/` }, tree);
  } finally {
    close(inner.from);
    close(inner.to);
  }
}

/** Last, since what is put into a folder changes its times. A folder of a layer below has perhaps attributes that this one lacks. */
function copyAttributes(from: number, to: number): void {
  for (const name of listXattrsOf(to)) if (name.startsWith("user.")) removeXattrOf(to, name);
  const attributes = attributesOf(from);
  setAttributes(to, attributes, skipped);
  setTimesOf(to, attributes.accessed, attributes.modified);
}
