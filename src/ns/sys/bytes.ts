/**
 * File calls for names as byte strings: one character (U+0000 to U+00FF) per byte, "latin1". So a name that is not
 * UTF-8 comes through whole. Made for bulk work: names pass through two reused buffers, nothing is allocated per call.
 */

import { SyscallError } from "../../errors.ts";
import { AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, O_CLOEXEC, S_IFDIR, S_IFMT } from "../constants.ts";
import { c, check, failedWith } from "../libc.ts";
import { parseStatus, type Status, statInto, statusSize, type Time, untilSure } from "./file.ts";

const nameSize = 4097; // PATH_MAX and the NUL
const first = Buffer.alloc(nameSize);
const second = Buffer.alloc(nameSize);
const times = new BigInt64Array(4);
const status = Buffer.alloc(statusSize);

// <asm-generic/errno.h>
const ENOENT = 2;
const ENOTDIR = 20;
const ENODATA = 61;
const EOPNOTSUPP = 95;

/** The bytes of text, as a byte string. */
export function toByteString(text: string): string {
  return Buffer.from(text).toString("latin1");
}
/** A byte string as text for people: bytes that are not UTF-8 become U+FFFD. */
export function toText(name: string): string {
  return Buffer.from(name, "latin1").toString();
}

/** Puts a name with its NUL into a reused buffer. */
function cname(name: string, buffer = first): Buffer {
  if (name.length >= nameSize) throw new SyscallError("open", 36 /* ENAMETOOLONG */, `${toText(name.slice(0, 60))}…`);
  if (name.includes("\0")) throw new SyscallError("open", 22 /* EINVAL */, JSON.stringify(toText(name)));
  buffer.write(name, 0, "latin1");
  buffer[name.length] = 0;
  return buffer;
}

/** `check` with the name in the error; errno is read before the name is made readable. */
function checked(call: string, result: number | bigint, name: string): number {
  if (result !== -1) return Number(result);
  try {
    return check(call, result);
  } catch (error) {
    throw error instanceof SyscallError ? new SyscallError(call, error.errno, toText(name)) : error;
  }
}

/** openat(2), close-on-exec. */
export function openAtBytes(dirFd: number, name: string, flags: number, mode = 0): number {
  return checked("open", c.openat(dirFd, cname(name), flags | O_CLOEXEC, mode), name);
}
/** The same; undefined where there is nothing of that name, or not what the flags ask for. */
export function findAtBytes(dirFd: number, name: string, flags: number): number | undefined {
  const result = c.openat(dirFd, cname(name), flags | O_CLOEXEC, 0);
  return failedWith(result, ENOENT, ENOTDIR) ? undefined : checked("open", result, name);
}
/** openat2(2), close-on-exec; `resolve` are RESOLVE_* flags. Undefined where there is nothing, or not what the flags ask for. */
export function resolveBytes(dirFd: number, path: string, flags: number, resolve: number): number | undefined {
  const how = new BigUint64Array([BigInt(flags | O_CLOEXEC), 0n, BigInt(resolve)]);
  const result = untilSure(() => c.openat2(dirFd, cname(path), how, how.byteLength));
  return failedWith(result, ENOENT, ENOTDIR) ? undefined : checked("openat2", result, path);
}
export function mkdirAtBytes(dirFd: number, name: string, mode: number): void {
  checked("mkdir", c.mkdirat(dirFd, cname(name), mode), name);
}
/** mknodat(2). `device` is makedev(3)'s number. */
export function mknodAtBytes(dirFd: number, name: string, mode: number, device: number | bigint): void {
  checked("mknod", c.mknodat(dirFd, cname(name), mode, device), name);
}
export function symlinkAtBytes(target: string, dirFd: number, name: string): void {
  checked("symlink", c.symlinkat(cname(target, second), dirFd, cname(name)), name);
}
/** linkat(2) without following a symlink at `oldName`. */
export function linkAtBytes(oldDirFd: number, oldName: string, newDirFd: number, newName: string): void {
  checked("link", c.linkat(oldDirFd, cname(oldName, second), newDirFd, cname(newName), 0), newName);
}
export function renameAtBytes(oldDirFd: number, oldName: string, newDirFd: number, newName: string): void {
  checked("rename", c.renameat2(oldDirFd, cname(oldName, second), newDirFd, cname(newName), 0), newName);
}
/** unlinkat(2); a directory with `isDirectory`. */
export function removeAtBytes(dirFd: number, name: string, isDirectory: boolean): void {
  const flags = isDirectory ? AT_REMOVEDIR : 0;
  checked(isDirectory ? "rmdir" : "unlink", c.unlinkat(dirFd, cname(name), flags), name);
}
export function readlinkAtBytes(dirFd: number, name: string): string {
  const length = checked("readlink", c.readlinkat(dirFd, cname(name), second, nameSize), name);
  return second.toString("latin1", 0, length);
}
/** fchownat(2) on the name itself; with an empty name on `dirFd`, which may be an O_PATH descriptor. */
export function chownAtBytes(dirFd: number, name: string, uid: number, gid: number): void {
  checked("chown", c.fchownat(dirFd, cname(name), uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH), name);
}
/** fchmodat(2). It follows symlinks: only for names known to be something else. */
export function chmodAtBytes(dirFd: number, name: string, mode: number): void {
  checked("chmod", c.fchmodat(dirFd, cname(name), mode), name);
}
/** utimensat(2) on the name itself. */
export function setTimesAtBytes(dirFd: number, name: string, accessed: Time, modified: Time): void {
  checked("utimensat", c.utimensat(dirFd, cname(name), timespecs(accessed, modified), AT_SYMLINK_NOFOLLOW), name);
}
/** futimens(3). */
export function setTimesOf(fd: number, accessed: Time, modified: Time): void {
  check("futimens", c.utimensat(fd, null, timespecs(accessed, modified), 0), `descriptor ${fd}`);
}
function timespecs(accessed: Time, modified: Time): BigInt64Array {
  times[0] = BigInt(accessed.seconds);
  times[1] = BigInt(accessed.nanoseconds);
  times[2] = BigInt(modified.seconds);
  times[3] = BigInt(modified.nanoseconds);
  return times;
}

/** statx(2) of the name itself; undefined where there is none. */
export function statAtBytes(dirFd: number, name: string): Status | undefined {
  const result = statInto(status, dirFd, cname(name));
  if (failedWith(result, ENOENT, ENOTDIR)) return undefined;
  checked("statx", result, name);
  return parseStatus(status);
}

/** fsetxattr(2), the name as a byte string. */
export function setXattrOf(fd: number, name: string, value: Uint8Array): void {
  const bytes = value.length ? value : second; // an address is needed even for no bytes
  checked("setxattr", c.fsetxattr(fd, cname(name), bytes, value.length, 0), name);
}
/** fremovexattr(2), the name as a byte string. */
export function removeXattrOf(fd: number, name: string): void {
  checked("removexattr", c.fremovexattr(fd, cname(name)), name);
}
/** fgetxattr(2); undefined where there is none of that name, or the file system has none at all. */
export function getXattrOf(fd: number, name: string): Buffer | undefined {
  const buffer = xattrBuffer();
  const result = c.fgetxattr(fd, cname(name), buffer, xattrSize);
  if (failedWith(result, ENODATA, EOPNOTSUPP)) return undefined;
  return Buffer.from(buffer.subarray(0, checked("getxattr", result, name)));
}
/** flistxattr(2): the names; none where the file system has no extended attributes. */
export function listXattrsOf(fd: number): string[] {
  const buffer = xattrBuffer();
  const result = c.flistxattr(fd, buffer, xattrSize);
  if (failedWith(result, EOPNOTSUPP)) return [];
  const length = check("listxattr", result, `descriptor ${fd}`);
  return buffer.toString("latin1", 0, length).split("\0").filter(Boolean);
}

const xattrSize = 65536; // XATTR_SIZE_MAX and XATTR_LIST_MAX
let xattrs: Buffer | undefined;
function xattrBuffer(): Buffer {
  return (xattrs ??= Buffer.alloc(xattrSize));
}

const directoryBuffer = Buffer.alloc(32768);

/** The names in a directory, from getdents64(2) on the descriptor itself; `.` and `..` are left out. */
export function listDirectoryBytes(dirFd: number): { name: string; isDirectory: boolean }[] {
  const entries: { name: string; isDirectory: boolean }[] = [];
  check("lseek", c.lseek(dirFd, 0, 0), `descriptor ${dirFd}`);
  for (;;) {
    const length = check("getdents64", c.getdents64(dirFd, directoryBuffer, directoryBuffer.length));
    if (length === 0) break;
    for (let offset = 0; offset < length; offset += directoryBuffer.readUInt16LE(offset + 16)) {
      const type = directoryBuffer[offset + 18]!;
      const name = directoryBuffer.toString("latin1", offset + 19, directoryBuffer.indexOf(0, offset + 19));
      if (name === "." || name === "..") continue;
      const isDirectory = type === 4 || (type === 0 && isDirectoryAt(dirFd, name)); // DT_DIR, DT_UNKNOWN
      entries.push({ name, isDirectory });
    }
  }
  return entries;
}

function isDirectoryAt(dirFd: number, name: string): boolean {
  return ((statAtBytes(dirFd, name)?.mode ?? 0) & S_IFMT) === S_IFDIR;
}
