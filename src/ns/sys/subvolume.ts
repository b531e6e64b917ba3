/** What only file systems with shared extents know: clones of a file's content (ioctl_ficlone(2)), and btrfs's subvolumes (<linux/btrfs.h>). */

import { O_DIRECTORY, O_RDONLY } from "../constants.ts";
import { c, check, failedWith } from "../libc.ts";
import { close, open } from "./file.ts";

const FICLONE = 0x40049409;
const BTRFS_IOC_SUBVOL_CREATE = 0x5000940e;
const BTRFS_IOC_SNAP_DESTROY = 0x5000940f;
const BTRFS_IOC_SNAP_CREATE_V2 = 0x50009417;

/** Inode number of a subvolume's root: BTRFS_FIRST_FREE_OBJECTID in <linux/btrfs_tree.h>. */
export const subvolumeInode = 256n;

// <asm-generic/errno.h>: not this file system, not this kind of file, not permitted, not these two files
const refusals = [1 /* EPERM */, 18 /* EXDEV */, 22 /* EINVAL */, 25 /* ENOTTY */, 95 /* EOPNOTSUPP */];

/** Gives the empty file `target` the content of `source`, without copying it; false where that is not possible here. */
export function cloneContent(source: number, target: number): boolean {
  const result = c.ioctl(target, FICLONE, source);
  return !failedWith(result, ...refusals) && check("ioctl FICLONE", result) === 0;
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

/** Removes a subvolume with all in it at once; false where that is not allowed, as without the mount option user_subvol_rm_allowed. */
export function destroySubvolume(folderFd: number, name: string): boolean {
  const result = c.ioctl(folderFd, BTRFS_IOC_SNAP_DESTROY, request(name, 8, "latin1"));
  return !failedWith(result, ...refusals, 13 /* EACCES */) && check("remove a subvolume", result) === 0;
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
