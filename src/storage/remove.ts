/** Deletion within the store: by descriptor, through no symlink, across no mount. */

import { basename, dirname, relative } from "node:path";
import { hasCode, PodError } from "../errors.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, S_IFDIR, S_IFMT } from "../ns/constants.ts";
import {
  listDirectoryBytes,
  openAtBytes,
  removeAtBytes,
  renameAtBytes,
  statAtBytes,
  toByteString,
  toText,
} from "../ns/sys/bytes.ts";
import { close, open, statAt } from "../ns/sys/file.ts";
import { chmodSync, readFileSync } from "../ns/sys/fs.ts";
import { unlessErrno } from "../ns/sys/namespace.ts";
import { destroySubvolume, subvolumeInode } from "../ns/sys/subvolume.ts";
import { markerName, paths } from "./store.ts";

/** Deeper folders are moved up to the top of the tree, so that no tree needs a descriptor per level. */
const depthMaximum = 64;

/**
 * Removes a file or folder of the store and all below it; nothing happens where it is gone already. Refuses, with a
 * PodError, what lies outside the store or behind a symlink, and stops at a mount.
 */
export function removeTree(path: string): void {
  const below = relative(paths.root, path);
  if (below === "" || below === ".." || below.startsWith("../")) {
    throw new PodError(`remove ${path}: it is not in the store ${paths.root}`);
  }
  try {
    const rootFd = open(paths.root, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    try {
      statAt(rootFd, markerName);
      withFolder(rootFd, toByteString(dirname(below)), (folderFd) => removeAt(folderFd, toByteString(basename(below))));
    } finally {
      close(rootFd);
    }
  } catch (error) {
    throw new PodError(`remove ${path}`, { cause: error });
  }
}

/** Removes what is called `name` in the folder behind `dirFd`, by the same rules. */
export function removeAt(dirFd: number, name: string): void {
  const status = statAtBytes(dirFd, name);
  if (status === undefined) return;
  const isDirectory = (status.mode & S_IFMT) === S_IFDIR;
  if (!isDirectory) return removeName(dirFd, name, false);
  if (isDestroyed(dirFd, name, mountIdOf(dirFd))) return;
  const folder = openFolder(dirFd, name, mountIdOf(dirFd));
  try {
    removeFolder(folder, () => removeName(dirFd, name, true));
  } finally {
    close(folder.fd);
  }
}

const writersPatienceMs = 5000;

/**
 * What is moved up from the depths shows in the next round, and so does what others have just written: who was on the way
 * into a folder when it became trash, as repairContainers() may be with a container's state, still writes there.
 */
function removeFolder(folder: Folder, removeItself: () => void): void {
  const deadline = performance.now() + writersPatienceMs;
  for (;;) {
    while (empty(folder, folder.fd, 0) > 0);
    try {
      return removeItself();
    } catch (error) {
      if (!hasCode(error, "ENOTEMPTY") || performance.now() > deadline) throw error;
    }
  }
}

interface Folder {
  fd: number;
  mountId: bigint;
}

/** Removes all in `folder`; says how many entries it has met. */
function empty(folder: Folder, topFd: number, depth: number): number {
  const entries = listDirectoryBytes(folder.fd);
  for (const { name, isDirectory } of entries) {
    if (isDirectory && depth === depthMaximum) {
      renameAtBytes(folder.fd, name, topFd, crypto.randomUUID());
      continue;
    }
    if (isDirectory && isDestroyed(folder.fd, name, folder.mountId)) continue;
    if (isDirectory) {
      const inner = openFolder(folder.fd, name, folder.mountId);
      try {
        empty(inner, topFd, depth + 1);
      } finally {
        close(inner.fd);
      }
    }
    unlessErrno(["ENOTEMPTY"], () => removeName(folder.fd, name, isDirectory));
  }
  return entries.length;
}

/** btrfs: where the user may, a whole subvolume goes at once; else it is emptied, and removed like any folder (Linux 4.18). */
function isDestroyed(dirFd: number, name: string, mountId: bigint): boolean {
  const status = statAtBytes(dirFd, name);
  return status?.inode === subvolumeInode && status.mountId === mountId && destroySubvolume(dirFd, name);
}

/** Opens a folder for reading, also one whose mode forbids that to its owner; a mount point is an error. */
function openFolder(dirFd: number, name: string, mountId: bigint): Folder {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  const fd = withAccess(
    () => openAtBytes(dirFd, name, flags),
    () => {
      const closed = openAtBytes(dirFd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
      allowOwner(closed);
      close(closed);
    },
  );
  if (mountIdOf(fd) === mountId) return { fd, mountId };
  close(fd);
  throw new PodError(`something is mounted on ${toText(name)}`, { hint: "unmount it first" });
}

function removeName(dirFd: number, name: string, isDirectory: boolean): void {
  try {
    withAccess(
      () => removeAtBytes(dirFd, name, isDirectory),
      () => allowOwner(dirFd),
    );
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error; // another process removes the same tree
  }
}

function withAccess<T>(action: () => T, mend: () => void): T {
  try {
    return action();
  } catch (error) {
    if (!hasCode(error, "EACCES")) throw error;
    mend();
    return action();
  }
}

/** By descriptor, which may be O_PATH: fchmod(2) refuses those. */
function allowOwner(fd: number): void {
  chmodSync(`/proc/self/fd/${fd}`, 0o700);
}

function mountIdOf(fd: number): bigint {
  const { mountId } = statAt(fd, "");
  if (mountId !== 0n) return mountId;
  return BigInt(/^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1]!); // before Linux 5.8
}

/** Opens a path below `dirFd` step by step, through no symlink; where a step is missing there is nothing to do. */
function withFolder(dirFd: number, path: string, action: (fd: number) => void): void {
  let fd = openAtBytes(dirFd, ".", O_PATH | O_DIRECTORY);
  try {
    for (const step of path.split("/")) {
      const next = openAtBytes(fd, step, O_PATH | O_DIRECTORY | O_NOFOLLOW);
      close(fd);
      fd = next;
    }
    action(fd);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  } finally {
    close(fd);
  }
}
