/** A container's files, seen from outside: its layers and its own folder, whether it runs or not. */

import { type Change, changesOf } from "./changes.ts";
import { type ContainerRecord, containerDir } from "./containers.ts";
import { rootfsFolders } from "./drivers.ts";
import { packLayer, packTree } from "./pack.ts";
import { allocatedBytes, allocatedInside } from "./usage.ts";

/** Where pod mounts something of its own: made at the start, and no change of the program's. */
const mountPoints = new Set(["dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf"]);

/** What the container has changed of its image. Needs the ids of the user's namespace. */
export function changesOfContainer(record: ContainerRecord): Generator<Change> {
  return changesOf(rootfsFolders(record), mountPoints);
}

/** The same as a layer's archive. */
export function packChangesOf(record: ContainerRecord): Generator<Buffer> {
  return packLayer(changesOfContainer(record), rootfsFolders(record).ownerOf);
}

/** All its files as a tar archive. Needs the ids of the user's namespace. */
export function packContainer(record: ContainerRecord): Generator<Buffer> {
  const { upper, lower, isWhole, ownerOf } = rootfsFolders(record);
  return packTree(isWhole ? [upper] : [upper, ...lower], ownerOf);
}

/** Bytes on disk of its writable layer; of a tree of its own, those of the files that it has changed. */
export function writableBytes(record: ContainerRecord): number {
  const { upper, isWhole } = rootfsFolders(record);
  if (!isWhole) return allocatedInside(upper);
  let bytes = 0;
  for (const { file } of changesOfContainer(record)) bytes += (file?.status.blocks ?? 0) * 512; // statx(2)
  return bytes;
}

/** Bytes on disk that go with it: all of its folder, but what a snapshot shares with its image. */
export function ownBytes(record: ContainerRecord): number {
  const bytes = allocatedBytes(containerDir(record.id));
  return record.driver === "btrfs" ? bytes + writableBytes(record) : bytes;
}
