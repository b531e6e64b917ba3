/** What only file systems with shared extents know: clones of a file's content (ioctl_ficlone(2)), and btrfs's subvolumes (<linux/btrfs.h>). */

import { O_DIRECTORY, O_RDONLY } from "../constants.ts";
import { c, check, failedWith } from "../libc.ts";
import { openAtBytes } from "./bytes.ts";
import { close, open } from "./file.ts";

const FICLONE = 0x40049409;
const BTRFS_IOC_SUBVOL_CREATE = 0x5000940e;
const BTRFS_IOC_SNAP_DESTROY = 0x5000940f;
const BTRFS_IOC_SNAP_CREATE_V2 = 0x50009417;

/** Inode number of a subvolume's root: BTRFS_FIRST_FREE_OBJECTID in <linux/btrfs_tree.h>. */
export const subvolumeInode = 256n;

// <asm-generic/errno.h>
const EPERM = 1;
const EACCES = 13;
const EXDEV = 18;
const EINVAL = 22;
const ENOTTY = 25;
const ENOTEMPTY = 39;
const EOPNOTSUPP = 95;

/** Gives the empty file `target` the content of `source`, without copying it; false where that is not possible here. */
export function cloneContent(source: number, target: number): boolean {
  const result = c.ioctl(target, FICLONE, source);
  return !failedWith(result, EXDEV, EINVAL, ENOTTY, EOPNOTSUPP) && check("ioctl FICLONE", result) === 0;
}

/** Makes an empty subvolume called `name` in the folder. */
export function createSubvolume(folder: string, name: string): void {
  withFolder(folder, (fd) => check("make a subvolume", c.ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, request(name, 8)), folder));
}

/** Makes a writable snapshot of the subvolume `source`, called `name`, in the folder. It appears whole. */
export function createSnapshot(source: string, folder: string, name: string): void {
  withFolder(source, (sourceFd) => {
    const bytes = request(name, 56); // struct btrfs_ioctl_vol_args_v2
    bytes.writeBigInt64LE(BigInt(sourceFd), 0);
    withFolder(folder, (fd) => check("make a snapshot", c.ioctl(fd, BTRFS_IOC_SNAP_CREATE_V2, bytes), folder));
  });
}

/**
 * Removes a subvolume with all in it at once. False where it is none, has others in it, or where that is not allowed, as without the
 * mount option user_subvol_rm_allowed.
 */
export function destroySubvolume(folderFd: number, name: string): boolean {
  const fd = openAtBytes(folderFd, ".", O_RDONLY | O_DIRECTORY); // it may be an O_PATH one, which ioctl(2) refuses
  try {
    const result = c.ioctl(fd, BTRFS_IOC_SNAP_DESTROY, request(name, 8, "latin1"));
    const isRefused = failedWith(result, EPERM, EACCES, EINVAL, ENOTTY, ENOTEMPTY, EOPNOTSUPP);
    return !isRefused && check("remove a subvolume", result) === 0;
  } finally {
    close(fd);
  }
}

/** struct btrfs_ioctl_vol_args, or its second version: 4096 bytes, the name at `offset`. */
function request(name: string, offset: number, encoding: BufferEncoding = "utf8"): Buffer {
  const bytes = Buffer.alloc(4096);
  bytes.write(name, offset, encoding);
  return bytes;
}

function withFolder(path: string, action: (fd: number) => void): void {
  const fd = open(path, O_RDONLY | O_DIRECTORY);
  try {
    action(fd);
  } finally {
    close(fd);
  }
}
