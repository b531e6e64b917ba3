/** Collection: blobs, layers, downloads and temporary folders that nothing names any more. */

import { join } from "node:path";
import { O_RDWR } from "../ns/constants.ts";
import { close, lock, open } from "../ns/sys/file.ts";
import { lstatSync, readdirSync, renameSync, rmSync } from "../ns/sys/fs.ts";
import type { ImageConfig, Manifest } from "../spec.ts";
import { blobPath, deleteBlob, hasBlob, readJsonBlob } from "./blobs.ts";
import { makeTemporaryDir, readJson, removeTree, sweepTemporary, withLock } from "./files.ts";
import { changeIndex, readIndex } from "./images.ts";
import { chainIds, type LayerRecord, layerFolder, layerLink } from "./layers.ts";
import { leasedNames, leasesLock } from "./leases.ts";
import { paths } from "./store.ts";

/** What containers need: image ids (digests of configs) and chainIds. */
export interface ContainersUse {
  images: Set<string>;
  layers: Set<string>;
}

export interface Collected {
  /** Digests of blobs, chainIds of layers. */
  deleted: string[];
  reclaimedBytes: number;
}

/** Downloads that nobody took up again for so long are given up. */
const partialDays = 7;

/**
 * Deletes all that no image, container or lease names. `containersUse` is best a function: it is called while no new
 * lease can be taken, so a container recorded a moment ago counts. `deleted` holds digests of blobs and chainIds.
 */
export function collectGarbage(containersUse: ContainersUse | (() => ContainersUse)): Collected {
  sweepTemporary();
  const doomed = makeTemporaryDir();
  const result: Collected = { deleted: [], reclaimedBytes: 0 };
  try {
    withLock(leasesLock, () => {
      // In this order: who goes from a lease to a record is seen in one of them.
      const used = leasedNames();
      addContainers(used, typeof containersUse === "function" ? containersUse() : containersUse);
      addImages(used);
      collectBlobs(used, result);
      collectLayers(used, result, doomed);
      collectPartials();
    });
  } finally {
    removeTree(doomed); // the long part: needs no lock
  }
  return result;
}

/** A container keeps its layers, and its image's config; the rest of an image that was removed is not needed to run. */
function addContainers(used: Set<string>, { images, layers }: ContainersUse): void {
  for (const name of [...images, ...layers]) used.add(name);
}

/** Adds what the images use, and takes those from the index whose blobs are gone. */
function addImages(used: Set<string>): void {
  const { manifests } = readIndex();
  const isWhole = ({ digest }: { digest: string }) => {
    const manifest = hasBlob(digest) ? readJsonBlob<Manifest>(digest) : undefined;
    if (!manifest || !hasBlob(manifest.config.digest)) return false;
    const config = readJsonBlob<ImageConfig>(manifest.config.digest);
    used.add(digest).add(manifest.config.digest);
    for (const layer of manifest.layers) used.add(layer.digest);
    for (const chainId of chainIds(config.rootfs.diff_ids)) used.add(chainId);
    return true;
  };
  if (manifests.map(isWhole).includes(false)) changeIndex((entries) => entries.filter(isWhole));
}

function collectBlobs(used: Set<string>, result: Collected): void {
  for (const algorithm of readdirSync(paths.blobs)) {
    for (const hex of readdirSync(join(paths.blobs, algorithm))) {
      const digest = `${algorithm}:${hex}`;
      if (used.has(digest)) continue;
      result.reclaimedBytes += lstatSync(blobPath(digest)).size;
      result.deleted.push(digest);
      deleteBlob(digest);
    }
  }
}

/** Moves layers away, which is quick and leaves none half deleted. */
function collectLayers(used: Set<string>, result: Collected, doomed: string): void {
  const usedFolders = new Set([...used].map(layerFolder));
  for (const folder of readdirSync(paths.layers)) {
    if (usedFolders.has(folder)) continue;
    const record = readJson<LayerRecord>(join(paths.layers, folder, "layer.json"));
    renameSync(join(paths.layers, folder), join(doomed, folder));
    if (!record) continue;
    rmSync(join(paths.root, layerLink(record.chainId)), { force: true });
    result.reclaimedBytes += record.sizeBytes;
    result.deleted.push(record.chainId);
  }
}

function collectPartials(): void {
  for (const name of readdirSync(paths.partials)) {
    const path = join(paths.partials, name);
    const fd = open(path, O_RDWR);
    try {
      const isOld = Date.now() - lstatSync(path).mtimeMs > partialDays * 24 * 3600 * 1000;
      if (isOld && lock(fd, "exclusive", false)) rmSync(path, { force: true });
    } finally {
      close(fd);
    }
  }
}
