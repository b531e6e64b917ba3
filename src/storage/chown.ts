/** Owners of a file, or of a folder with all below it: by descriptor, through no symlink, across no mount. In the user's namespace. */

import { hasCode } from "../errors.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from "../ns/constants.ts";
import { chownAtBytes, findAtBytes, listDirectoryBytes, toByteString } from "../ns/sys/bytes.ts";
import { close, type Status, statAt } from "../ns/sys/file.ts";
import { isDirectory } from "./lower.ts";

export interface Owner {
  uid: number;
  gid: number;
}

/** Files that were changed, and those that belong to ids which are not the user's to give away. */
export interface Changed {
  changed: number;
  foreign: number;
}

const unchanged = 0xffffffff; // chown(2): -1

/** `wanted` says who is to own a file; undefined leaves it as it is. The path itself may be a symlink, which is followed. */
export function changeOwners(path: string, wanted: (status: Status) => Owner | undefined): Changed {
  const counts: Changed = { changed: 0, foreign: 0 };
  const fd = findAtBytes(AT_FDCWD, toByteString(path), O_PATH);
  if (fd === undefined) return counts;
  try {
    change(fd, statAt(fd, "").mountId, wanted, counts);
  } finally {
    close(fd);
  }
  return counts;
}

function change(fd: number, mountId: bigint, wanted: (status: Status) => Owner | undefined, counts: Changed): void {
  const status = statAt(fd, "");
  if (status.mountId !== mountId) return;
  const owner = wanted(status);
  if (owner && (owner.uid !== status.uid || owner.gid !== status.gid)) {
    if (give(fd, status, owner)) counts.changed++;
    else counts.foreign++;
  }
  if (!isDirectory(status)) return;
  const folder = findAtBytes(fd, ".", O_RDONLY | O_DIRECTORY);
  if (folder === undefined) return;
  try {
    for (const { name } of listDirectoryBytes(folder)) {
      const child = findAtBytes(folder, name, O_PATH | O_NOFOLLOW);
      if (child === undefined) continue; // removed meanwhile
      try {
        change(child, mountId, wanted, counts);
      } finally {
        close(child);
      }
    }
  } finally {
    close(folder);
  }
}

/**
 * False for an owner or a group that the namespace does not map: those look like `nobody`, who may be mapped too. Giving
 * a file to whom it has already tells them apart: chown(2) refuses what is not mapped.
 */
function give(fd: number, { uid, gid }: Status, owner: Owner): boolean {
  try {
    chownAtBytes(fd, "", uid, gid);
    chownAtBytes(fd, "", owner.uid === uid ? unchanged : owner.uid, owner.gid === gid ? unchanged : owner.gid);
    return true;
  } catch (error) {
    if (hasCode(error, "EPERM", "EINVAL")) return false;
    throw error;
  }
}
