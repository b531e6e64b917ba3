/** Collection: blobs, layers, downloads and temporary folders that nothing names any more. */

import { basename, dirname, join } from "node:path";
import { hasCode } from "../errors.ts";
import { O_RDWR } from "../ns/constants.ts";
import { close, lock, open } from "../ns/sys/file.ts";
import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from "../ns/sys/fs.ts";
import { makeTemporaryDir, removeTree, withLock, withReserve } from "./files.ts";
import { isUnsynced, syncLayers } from "./layer-sync.ts";
import { layerFolder, layerLink, layerName, readLayer } from "./layers.ts";
import { leasesLock } from "./leases.ts";
import { paths } from "./store.ts";
import { isOfLiveProcess } from "./tags.ts";
import { allocatedBytes } from "./usage.ts";
import { usedNames } from "./used.ts";

export interface Collected {
  /** Digests of blobs, chainIds of layers. */
  deleted: string[];
  /** Bytes of blocks that came free; 0 where they were not measured. */
  reclaimedBytes: number;
}

/** Downloads that nobody took up again for so long are given up. */
const partialDays = 7;

/**
 * Deletes all that no image, container or lease names, and what killed commands left. `measure`: find out how many bytes
 * that frees, which takes a look at each file.
 */
export function collectGarbage({ measure = false } = {}): Collected {
  return withReserve(() => collect(measure));
}

function collect(measure: boolean): Collected {
  const doomed = new Doomed();
  try {
    const deleted = withLock(leasesLock, () => {
      const used = usedNames();
      const unused = blobDigests().filter((digest) => !used.has(digest));
      if (areNeeded(unused, used)) syncLayers();
      for (const digest of unused) doomed.take(join(paths.blobs, digest.replace(":", "/")));
      const names = [...unused, ...collectLayers(used, doomed)];
      sweepLinks(used);
      collectPartials(doomed);
      return names;
    });
    sweepLayerLocks();
    collectTemporary(doomed);
    return { deleted, reclaimedBytes: measure ? doomed.allocatedBytes() : 0 };
  } finally {
    removeTree(doomed.dir); // the long part: needs no lock
  }
}

/** Where things are moved to before they are deleted: that is quick and leaves none half deleted. */
class Doomed {
  readonly dir = makeTemporaryDir();
  readonly #taken: string[] = [];

  take(path: string): void {
    const folder = join(this.dir, basename(dirname(path)));
    mkdirSync(folder, { recursive: true });
    const target = join(folder, basename(path));
    renameSync(path, target);
    this.#taken.push(target);
  }

  allocatedBytes(): number {
    return this.#taken.reduce((sum, path) => sum + allocatedBytes(path), 0);
  }
}

function blobDigests(): string[] {
  return readdirSync(paths.blobs).flatMap((algorithm) =>
    readdirSync(join(paths.blobs, algorithm)).map((hex) => `${algorithm}:${hex}`),
  );
}

/** Whether a layer that stays, in a container of an image that was removed, would be made again of one of these blobs after a power cut. */
function areNeeded(blobs: string[], used: Set<string>): boolean {
  if (!blobs.length) return false;
  return [...used].some((name) => isUnsynced(name) && blobs.includes(readLayer(name)!.blob));
}

function collectLayers(used: Set<string>, doomed: Doomed): string[] {
  const usedFolders = new Set([...used].map(layerFolder));
  const unused = readdirSync(paths.layers).filter((folder) => !usedFolders.has(folder));
  for (const folder of unused) doomed.take(join(paths.layers, folder));
  return unused.map(layerName);
}

/** Links of layers that are gone, also of those that were never finished: who is extracting has a lease. */
function sweepLinks(used: Set<string>): void {
  const usedLinks = new Set([...used].map((name) => basename(layerLink(name))));
  for (const link of readdirSync(paths.links)) {
    if (!usedLinks.has(link)) rmSync(join(paths.links, link), { force: true });
  }
}

function collectPartials(doomed: Doomed): void {
  for (const name of readdirSync(paths.partials)) {
    const path = join(paths.partials, name);
    if (isGivenUp(path)) ifUnlocked(path, () => doomed.take(path));
  }
}

/** Whether nobody has added to this download for seven days. */
export function isGivenUp(partial: string): boolean {
  try {
    return Date.now() - lstatSync(partial).mtimeMs > partialDays * 24 * 3600 * 1000;
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    return false; // it has just been finished
  }
}

/** Lock files of extractions that were killed. Who waits for one sees that it is gone, and begins anew. */
function sweepLayerLocks(): void {
  for (const name of readdirSync(paths.locks)) {
    if (!name.startsWith("layer-")) continue;
    const path = join(paths.locks, name);
    ifUnlocked(path, () => rmSync(path, { force: true }));
  }
}

function ifUnlocked(path: string, action: () => void): void {
  try {
    const fd = open(path, O_RDWR);
    try {
      if (lock(fd, "exclusive", false)) action();
    } finally {
      close(fd);
    }
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error; // its holder has finished
  }
}

function collectTemporary(doomed: Doomed): void {
  for (const name of readdirSync(paths.temporary)) {
    if (isOfLiveProcess(name)) continue;
    try {
      doomed.take(join(paths.temporary, name));
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error; // another process sweeps too
    }
  }
}
