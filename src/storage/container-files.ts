/** A container's files, seen from outside: its layers and its own folder, whether it runs or not. */

import { type Change, changesOf } from "./changes.ts";
import type { ContainerRecord } from "./containers.ts";
import { rootfsFolders } from "./drivers.ts";
import { packTree } from "./pack.ts";

/** Where pod mounts something of its own: made at the start, and no change of the program's. */
const mountPoints = new Set(["dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf"]);

/** What the container has changed of its image. Needs the ids of the user's namespace. */
export function changesOfContainer(record: ContainerRecord): Generator<Change> {
  const { upper, lower } = rootfsFolders(record);
  return changesOf(upper, lower, mountPoints);
}

/** All its files as a tar archive. Needs the ids of the user's namespace. */
export function packContainer(record: ContainerRecord): Generator<Buffer> {
  const { upper, lower } = rootfsFolders(record);
  return packTree([upper, ...lower]);
}
