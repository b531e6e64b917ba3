/** What things take on disk: allocated blocks, not lengths of files. */

import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "../ns/constants.ts";
import { findAtBytes, listDirectoryBytes, statAtBytes, toByteString } from "../ns/sys/bytes.ts";
import { close, statAt } from "../ns/sys/file.ts";
import { isDirectory } from "./lower.ts";

/**
 * Bytes that a file, or a folder with all below it, has on disk; a file with several names counts once, and subvolumes of btrfs not at
 * all: they share their blocks with layers. 0 where there is nothing.
 */
export function allocatedBytes(path: string): number {
  return allocatedAt(AT_FDCWD, toByteString(path), new Set());
}

/** The same of what is in a folder, without the folder itself. */
export function allocatedInside(path: string): number {
  return allocatedBelow(AT_FDCWD, toByteString(path), new Set());
}

function allocatedAt(dirFd: number, name: string, linked: Set<bigint>, device?: number): number {
  const status = statAtBytes(dirFd, name);
  if (!status) return 0; // removed meanwhile
  if (device !== undefined && status.deviceMinor !== device) return 0; // a subvolume has a number of its own
  const ownBytes = status.blocks * 512; // statx(2)
  if (isDirectory(status)) return ownBytes + allocatedBelow(dirFd, name, linked);
  if (status.links === 1) return ownBytes;
  if (linked.has(status.inode)) return 0;
  linked.add(status.inode);
  return ownBytes;
}

function allocatedBelow(dirFd: number, name: string, linked: Set<bigint>): number {
  const fd = findAtBytes(dirFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd === undefined) return 0;
  try {
    const { deviceMinor } = statAt(fd, "");
    return listDirectoryBytes(fd).reduce((sum, entry) => sum + allocatedAt(fd, entry.name, linked, deviceMinor), 0);
  } finally {
    close(fd);
  }
}
