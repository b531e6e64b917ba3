/** Files by descriptor: the *at(2) calls, openat2(2), extended attributes, locks. */

import { hasCode, SyscallError } from "../../errors.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  F_SETFD,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  O_CLOEXEC,
  O_CREAT,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  S_IFDIR,
  S_IFMT,
} from "../constants.ts";
import { c, check, cstring, failedWith } from "../libc.ts";

/** openat(2), always close-on-exec. */
export function openAt(dirFd: number, path: string, flags: number, mode = 0): number {
  return check("open", c.openat(dirFd, cstring(path), flags | O_CLOEXEC, mode), path);
}
/** open(2), always close-on-exec. */
export function open(path: string, flags: number, mode = 0): number {
  return openAt(AT_FDCWD, path, flags, mode);
}
/** openat2(2). `resolve`: RESOLVE_*; RESOLVE_IN_ROOT treats `dirFd` as the root that no symlink or `..` leaves. */
export function openAt2(dirFd: number, path: string, flags: number, resolve: number, mode = 0): number {
  const how = new BigUint64Array([BigInt(flags | O_CLOEXEC), BigInt(mode), BigInt(resolve)]);
  const name = cstring(path);
  return check(
    "openat2",
    untilSure(() => c.openat2(dirFd, name, how, how.byteLength)),
    path,
  );
}

const EAGAIN = 11;
const patienceMs = 5000; // with who renames all the time

/** openat2(2): a rename or mount anywhere on the machine makes a `..` unsure, and the call is to be made again. */
export function untilSure(call: () => number): number {
  let result = call();
  if (!failedWith(result, EAGAIN)) return result;
  const deadline = performance.now() + patienceMs;
  do result = call();
  while (failedWith(result, EAGAIN) && performance.now() < deadline);
  return result;
}
/** close(2); a bad descriptor is a bug and throws. */
export function close(fd: number): void {
  check("close", c.close(fd), `descriptor ${fd}`);
}

/** The text of a small file, such as /proc has: node:fs is not loaded before the user namespace is entered (docs/architecture.md). */
export function readText(path: string): string {
  const fd = open(path, O_RDONLY);
  try {
    return readDescriptor(fd, path).toString();
  } finally {
    close(fd);
  }
}

/** All that is to be read from a descriptor, but no more than `maximumBytes`. */
export function readDescriptor(fd: number, subject = `descriptor ${fd}`, maximumBytes = Infinity): Buffer {
  const chunks: Buffer[] = [];
  for (let size = 4096, left = maximumBytes; left > 0; size *= 2) {
    const buffer = Buffer.allocUnsafe(Math.min(size, left));
    const length = check("read", c.read(fd, buffer, buffer.length), subject);
    if (length === 0) break;
    chunks.push(buffer.subarray(0, length));
    left -= length;
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}

/** The whole text of a small file, made anew with this mode, or emptied first. */
export function writeText(path: string, text: string, mode = 0o600): void {
  const fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  try {
    const bytes = Buffer.from(text);
    check("write", c.write(fd, bytes, bytes.length), path); // /proc takes a map in one write only: user_namespaces(7)
  } finally {
    close(fd);
  }
}

/** dup2(2): `to` becomes another name of `from`, without close-on-exec. */
export function duplicate(from: number, to: number): void {
  if (from === to)
    check("fcntl", c.fcntl(to, F_SETFD, 0), `descriptor ${to}`); // dup3(2) takes this for a mistake
  else check("dup3", c.dup3(from, to, 0), `descriptor ${from}`);
}

export function mkdirAt(dirFd: number, name: string, mode: number): void {
  check("mkdir", c.mkdirat(dirFd, cstring(name), mode), name);
}
/** gnu_dev_makedev(3). */
export function makeDevice(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return ((high & 0xfffff000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffffff00n) << 12n) | (low & 0xffn);
}
export function symlinkAt(target: string, dirFd: number, name: string): void {
  check("symlink", c.symlinkat(cstring(target), dirFd, cstring(name)), name);
}
/** readlinkat(2). */
export function readlinkAt(dirFd: number, name: string): string {
  const buffer = Buffer.alloc(4096); // PATH_MAX
  return buffer.toString("utf8", 0, check("readlink", c.readlinkat(dirFd, cstring(name), buffer, buffer.length), name));
}
export function unlinkAt(dirFd: number, name: string): void {
  check("unlink", c.unlinkat(dirFd, cstring(name), 0), name);
}

export function fchown(fd: number, uid: number, gid: number): void {
  check("fchown", c.fchown(fd, uid, gid), `descriptor ${fd}`);
}
export function fchmod(fd: number, mode: number): void {
  check("fchmod", c.fchmod(fd, mode), `descriptor ${fd}`);
}
/** fchownat(2) on the name itself, never on what a symlink there points to. */
export function chownAt(dirFd: number, name: string, uid: number, gid: number): void {
  check("chown", c.fchownat(dirFd, cstring(name), uid, gid, AT_SYMLINK_NOFOLLOW), name);
}

/** A time as timespec: whole seconds (may be negative) and nanoseconds. */
export interface Time {
  seconds: number;
  nanoseconds: number;
}
function timespecs(accessed: Time, modified: Time): BigInt64Array {
  return new BigInt64Array([accessed, modified].flatMap((time) => [BigInt(time.seconds), BigInt(time.nanoseconds)]));
}
export function futimens(fd: number, accessed: Time, modified: Time): void {
  check("futimens", c.utimensat(fd, null, timespecs(accessed, modified), 0), `descriptor ${fd}`);
}

/** What statx(2) tells. Sizes in bytes; `blocks` of 512 bytes; `device` is major * 2^20 + minor style makedev, as bigint. */
export interface Status {
  mode: number;
  uid: number;
  gid: number;
  links: number;
  inode: bigint;
  size: number;
  blocks: number;
  deviceMajor: number;
  deviceMinor: number;
  rdevMajor: number;
  rdevMinor: number;
  accessed: Time;
  modified: Time;
  changed: Time;
  /** The kernel's id of the mount (5.8 and later): tells a mount point even of one file system. */
  mountId: bigint;
}
/** statx(2) of the name itself; with an empty name, of `dirFd`. */
export function statAt(dirFd: number, name: string): Status {
  const buffer = Buffer.alloc(statusSize);
  check("statx", statInto(buffer, dirFd, cstring(name)), name);
  return parseStatus(buffer);
}

/** Of struct statx. */
export const statusSize = 256;

/** statx(2)'s own result, for callers to whom a failure may be an answer. */
export function statInto(buffer: Buffer, dirFd: number, cname: Uint8Array): number {
  const mask = 0x17ff; // STATX_BASIC_STATS | STATX_MNT_ID
  const flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
  return c.statx(dirFd, cname, flags, mask, buffer);
}
export function parseStatus(buffer: Buffer): Status {
  const time = (offset: number) => ({
    seconds: Number(buffer.readBigInt64LE(offset)),
    nanoseconds: buffer.readUInt32LE(offset + 8),
  });
  return {
    links: buffer.readUInt32LE(16),
    uid: buffer.readUInt32LE(20),
    gid: buffer.readUInt32LE(24),
    mode: buffer.readUInt16LE(28),
    inode: buffer.readBigUInt64LE(32),
    size: Number(buffer.readBigUInt64LE(40)),
    blocks: Number(buffer.readBigUInt64LE(48)),
    accessed: time(64),
    changed: time(96),
    modified: time(112),
    rdevMajor: buffer.readUInt32LE(128),
    rdevMinor: buffer.readUInt32LE(132),
    deviceMajor: buffer.readUInt32LE(136),
    deviceMinor: buffer.readUInt32LE(140),
    mountId: buffer.readBigUInt64LE(144),
  };
}

/** lgetxattr(2); undefined where there is none of that name. */
export function getXattr(path: string, name: string): Buffer | undefined {
  const buffer = Buffer.alloc(65536); // XATTR_SIZE_MAX
  try {
    const length = check("getxattr", c.lgetxattr(cstring(path), cstring(name), buffer, buffer.length), path);
    return buffer.subarray(0, length);
  } catch (error) {
    if (error instanceof SyscallError && error.code === "ENODATA") return undefined;
    throw error;
  }
}
/** llistxattr(2): the names. */
export function listXattrs(path: string): string[] {
  const buffer = Buffer.alloc(65536); // XATTR_LIST_MAX
  const length = check("listxattr", c.llistxattr(cstring(path), buffer, buffer.length), path);
  return buffer.toString("utf8", 0, length).split("\0").filter(Boolean);
}

/** flock(2). Without `wait`, false where somebody else holds it. */
export function lock(fd: number, kind: "shared" | "exclusive", wait = true): boolean {
  const operation = (kind === "shared" ? LOCK_SH : LOCK_EX) | (wait ? 0 : LOCK_NB);
  try {
    check("flock", c.flock(fd, operation), `descriptor ${fd}`);
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.code === "EAGAIN") return false;
    throw error;
  }
}
export function fsync(fd: number): void {
  check("fsync", c.fsync(fd), `descriptor ${fd}`);
}
/** syncfs(2): the whole file system that `fd` lies on. */
export function syncFs(fd: number): void {
  check("syncfs", c.syncfs(fd), `descriptor ${fd}`);
}
export function ftruncate(fd: number, sizeBytes: number): void {
  check("ftruncate", c.ftruncate(fd, sizeBytes), `descriptor ${fd}`);
}

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;

/** The next part of a file, from `position` on, that is no hole: lseek(2). Undefined where there is none. */
export function seekData(fd: number, position: number): { start: number; end: number } | undefined {
  const start = c.lseek(fd, position, SEEK_DATA);
  if (failedWith(start, ENXIO)) return undefined;
  check("lseek", start, `descriptor ${fd}`);
  return { start, end: check("lseek", c.lseek(fd, start, SEEK_HOLE), `descriptor ${fd}`) };
}

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

/** Gives the file's first `sizeBytes` back to the file system: they read as zeros, and no offset changes. fallocate(2). */
export function punchHole(fd: number, sizeBytes: number): void {
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  check("fallocate", c.fallocate(fd, mode, 0, sizeBytes), `descriptor ${fd}`);
}

/** The names in a directory, from getdents64(2) on the descriptor itself; `.` and `..` are left out. */
export function listDirectory(dirFd: number): { name: string; isDirectory: boolean }[] {
  const entries: { name: string; isDirectory: boolean }[] = [];
  const buffer = Buffer.alloc(32768);
  check("lseek", c.lseek(dirFd, 0, 0), `descriptor ${dirFd}`);
  for (;;) {
    const length = check("getdents64", c.getdents64(dirFd, buffer, buffer.length), `descriptor ${dirFd}`);
    if (length === 0) return entries;
    for (let offset = 0; offset < length; ) {
      const recordLength = buffer.readUInt16LE(offset + 16);
      const type = buffer[offset + 18]!;
      const end = buffer.indexOf(0, offset + 19);
      const name = buffer.toString("utf8", offset + 19, end);
      if (name !== "." && name !== "..") {
        entries.push({ name, isDirectory: type === DT_UNKNOWN ? isDirectoryAt(dirFd, name) : type === DT_DIR });
      }
      offset += recordLength;
    }
  }
}

const DT_UNKNOWN = 0;
const DT_DIR = 4;

/** For file systems that do not say so in their listings, and for a process in /proc that ends meanwhile: that is none. */
function isDirectoryAt(dirFd: number, name: string): boolean {
  try {
    return (statAt(dirFd, name).mode & S_IFMT) === S_IFDIR;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return false;
    throw error;
  }
}
