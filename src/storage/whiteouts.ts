/**
 * How a layer says "this is gone". In archives: `.wh.NAME`, and `.wh..wh..opq` for all of a folder (image-spec
 * layer.md, "Whiteouts"). On disk: what the kernel's overlay (mounted with userxattr) and fuse-overlayfs read.
 */

import { hasCode } from "../errors.ts";
import { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY, S_IFCHR, S_IFMT } from "../ns/constants.ts";
import { getXattrOf, mknodAtBytes, openAtBytes, removeAtBytes, setXattrOf, statAtBytes } from "../ns/sys/bytes.ts";
import { close, type Status } from "../ns/sys/file.ts";

export const whiteoutPrefix = ".wh.";
export const opaqueName = ".wh..wh..opq";

// kernel Documentation/filesystems/overlayfs.rst "user xattr"; fuse-overlayfs(1)
const opaqueXattrs = ["user.overlay.opaque", "user.fuseoverlayfs.opaque"];

/**
 * Hides `name` of the layers below: a character device 0:0, which also an unprivileged user may make since Linux 5.8.
 * Where that is refused the kernel's overlay can't be used either (it needs 5.11): then an empty file `.wh.NAME`, which
 * fuse-overlayfs reads (fuse-overlayfs, main.c).
 */
export function makeWhiteout(dirFd: number, name: string): void {
  try {
    mknodAtBytes(dirFd, name, S_IFCHR, 0);
  } catch (error) {
    if (!hasCode(error, "EPERM")) throw error;
    makeEmptyFile(dirFd, whiteoutPrefix + name);
  }
}

export function removeWhiteout(dirFd: number, name: string): void {
  const isDevice = isWhiteoutDevice(statAtBytes(dirFd, name));
  removeAtBytes(dirFd, isDevice ? name : whiteoutPrefix + name, false);
}

/** `status` is that of `name`, undefined where it is not there. */
export function isWhiteout(dirFd: number, name: string, status: Status | undefined): boolean {
  if (status) return isWhiteoutDevice(status);
  return statAtBytes(dirFd, whiteoutPrefix + name) !== undefined;
}

function isWhiteoutDevice(status: Status | undefined): boolean {
  return status !== undefined && (status.mode & S_IFMT) === S_IFCHR && !status.rdevMajor && !status.rdevMinor;
}

/** Hides all that the layers below have in this folder. Without user attributes only fuse-overlayfs can be used: a file as above. */
export function makeOpaque(dirFd: number): void {
  const fd = openAtBytes(dirFd, ".", O_RDONLY);
  try {
    for (const name of opaqueXattrs) setXattrOf(fd, name, Buffer.from("y"));
  } catch (error) {
    if (!hasCode(error, "EOPNOTSUPP", "EPERM")) throw error;
    makeEmptyFile(fd, opaqueName);
  } finally {
    close(fd);
  }
}

/** Of a folder that is open for reading. */
export function isOpaque(fd: number): boolean {
  return getXattrOf(fd, opaqueXattrs[0]!)?.toString() === "y" || statAtBytes(fd, opaqueName) !== undefined;
}

function makeEmptyFile(dirFd: number, name: string): void {
  try {
    close(openAtBytes(dirFd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
}
