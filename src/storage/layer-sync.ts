/**
 * Layers on disk. A layer is used as soon as it is extracted; that it outlives a power cut is recorded once the kernel
 * has written all of it. Until then it is made again, of its blob, where a power cut comes first.
 */

import { join } from "node:path";
import { hasCode } from "../errors.ts";
import { O_DIRECTORY, O_RDONLY } from "../ns/constants.ts";
import { renameAtBytes, statAtBytes } from "../ns/sys/bytes.ts";
import { close, open } from "../ns/sys/file.ts";
import { existsSync, readdirSync } from "../ns/sys/fs.ts";
import { syncStore } from "./files.ts";
import { layerHome, layerName, syncedRecord, unsyncedRecord } from "./layers.ts";
import { paths } from "./store.ts";

/** Whether it is extracted, and perhaps not on disk. */
export function isUnsynced(chainId: string): boolean {
  return existsSync(join(layerHome(chainId), unsyncedRecord()));
}

export function hasUnsynced(): boolean {
  return readdirSync(paths.layers).map(layerName).some(isUnsynced);
}

/** Waits until the layers that are extracted now are on disk, and records it. In the user's namespace; several may do so at once. */
export function syncLayers(): void {
  const folders = readdirSync(paths.layers)
    .map(layerName)
    .map(openUnsynced)
    .filter((fd) => fd !== undefined);
  try {
    if (folders.length) syncStore();
    for (const fd of folders) recordSynced(fd);
  } finally {
    folders.forEach(close);
  }
}

/** By descriptor: the layer may be removed meanwhile, and another of its name extracted, which is not on disk yet. */
function openUnsynced(chainId: string): number | undefined {
  try {
    const fd = open(layerHome(chainId), O_RDONLY | O_DIRECTORY);
    if (statAtBytes(fd, unsyncedRecord())) return fd;
    close(fd);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error; // it has just been removed
  }
  return undefined;
}

function recordSynced(fd: number): void {
  try {
    renameAtBytes(fd, unsyncedRecord(), fd, syncedRecord);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error; // another process was quicker
  }
}
