/** Namespaces and mounts: unshare(2), setns(2), mount(2) and their kin. */

import { SyscallError } from "../../errors.ts";
import { AT_EMPTY_PATH, AT_RECURSIVE, MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH } from "../constants.ts";
import { c, check, cstring } from "../libc.ts";

/** unshare(2). `what` says in the error what was to be made. */
export function unshare(flags: number, what: string): void {
  check("unshare", c.unshare(flags), what);
}

/** setns(2) into the namespace that `fd` refers to; `kind` is its CLONE_NEW* flag. */
export function setns(fd: number, kind: number, what: string): void {
  check("setns", c.setns(fd, kind), what);
}

// <linux/nsfs.h>, ioctl_ns(2)
const NS_GET_USERNS = 0xb701;
const NS_GET_PARENT = 0xb702;

/** A descriptor of the user namespace that owns the namespace behind `fd`. */
export function ownerOf(fd: number): number {
  return check("ioctl", c.ioctl(fd, NS_GET_USERNS, 0), "NS_GET_USERNS");
}

/** A descriptor of the user namespace in which that behind `fd` is nested. */
export function parentOf(fd: number): number {
  return check("ioctl", c.ioctl(fd, NS_GET_PARENT, 0), "NS_GET_PARENT");
}

/** mount(2). Flags: MS_* in constants.ts. */
export function mount(source: string, target: string, fstype: string, flags: number, data = ""): void {
  check("mount", c.mount(cstring(source), cstring(target), cstring(fstype), flags, cstring(data)), target);
}

/** umount2(2). */
export function umount(target: string, flags: number): void {
  check("umount", c.umount2(cstring(target), flags), target);
}

/** pivot_root(2). */
export function pivotRoot(newRoot: string, putOld: string): void {
  check("pivot_root", c.pivot_root(cstring(newRoot), cstring(putOld)), newRoot);
}

/** open_tree(2): a descriptor of the mount at `path` (relative to `dirFd`), or of a detached copy with OPEN_TREE_CLONE. */
export function openTree(dirFd: number, path: string, flags: number): number {
  return check("open_tree", c.open_tree(dirFd, cstring(path), flags), path);
}

/** move_mount(2): attaches the mount behind `mountFd` onto the very object that `targetFd` refers to. */
export function moveMount(mountFd: number, targetFd: number, what: string): void {
  const empty = cstring("");
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  check("move_mount", c.move_mount(mountFd, empty, targetFd, empty, flags), what);
}

/** mount_setattr(2) on the mount behind `mountFd`. `set` and `clear`: MOUNT_ATTR_*; `propagation`: MS_PRIVATE … or 0. */
export function setMountAttributes(
  mountFd: number,
  attributes: { set?: number; clear?: number; propagation?: number; recursive?: boolean },
  what: string,
): void {
  const struct = new BigUint64Array([
    BigInt(attributes.set ?? 0),
    BigInt(attributes.clear ?? 0),
    BigInt(attributes.propagation ?? 0),
    0n,
  ]);
  const flags = AT_EMPTY_PATH | (attributes.recursive ? AT_RECURSIVE : 0);
  const result = c.mount_setattr(mountFd, cstring(""), flags, struct, struct.byteLength);
  check("mount_setattr", result, what);
}

/** sethostname(2) in the current UTS namespace. */
export function setHostname(name: string): void {
  check("sethostname", c.sethostname(cstring(name), Buffer.byteLength(name)), name);
}

/** setdomainname(2) in the current UTS namespace. */
export function setDomainname(name: string): void {
  check("setdomainname", c.setdomainname(cstring(name), Buffer.byteLength(name)), name);
}

/** True where `action` succeeded, false where it failed with one of these errno names; other failures pass. */
export function unlessErrno(codes: string[], action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (error instanceof SyscallError && codes.includes(error.code)) return false;
    throw error;
  }
}
