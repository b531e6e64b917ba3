/**
 * What pod needs of node:fs on the way of every command, by the same names: node:fs takes 2.7 ms to load, in each of a
 * container's processes, and a third of a megabyte of heap. Errors are SyscallError, with the same codes.
 */

import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_PATH,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
} from "../constants.ts";
import { c, check, cstring, failedWith } from "../libc.ts";
import { writeAll } from "./descriptor.ts";
import { close, fsync, listDirectory, open, readDescriptor, readlinkAt, type Status, statAt } from "./file.ts";

export { close as closeSync, fsync as fsyncSync };

const EEXIST = 17;
const ENOENT = 2;
const W_OK = 2;
const R_OK = 4;

const openFlags = {
  r: O_RDONLY,
  w: O_WRONLY | O_CREAT | O_TRUNC,
  wx: O_WRONLY | O_CREAT | O_EXCL,
  a: O_WRONLY | O_CREAT | O_APPEND,
};
type OpenFlags = keyof typeof openFlags;

export function openSync(path: string, flags: OpenFlags, mode = 0o666): number {
  return open(path, openFlags[flags], mode);
}

function withFile<T>(path: string, flags: number, action: (fd: number) => T, mode = 0): T {
  const fd = open(path, flags, mode);
  try {
    return action(fd);
  } finally {
    close(fd);
  }
}

export function readFileSync(path: string): Buffer;
export function readFileSync(path: string, encoding: "utf8"): string;
export function readFileSync(path: string, encoding?: "utf8"): Buffer | string {
  const bytes = withFile(path, O_RDONLY, (fd) => readDescriptor(fd, path));
  return encoding ? bytes.toString(encoding) : bytes;
}

export function writeFileSync(
  target: string | number,
  data: string | Uint8Array,
  { mode = 0o666, flag = "w" as OpenFlags } = {},
): void {
  const bytes = typeof data === "string" ? Buffer.from(data) : data;
  if (typeof target === "number") writeAll(target, bytes);
  else withFile(target, openFlags[flag], (fd) => writeAll(fd, bytes), mode);
}
export function appendFileSync(path: string, text: string): void {
  writeFileSync(path, text, { flag: "a" });
}

/** At `position`, or where the descriptor stands: pread(2), read(2). */
export function readSync(
  fd: number,
  buffer: Uint8Array,
  offset = 0,
  length = buffer.length - offset,
  position?: number,
): number {
  const part = buffer.subarray(offset, offset + length);
  const count = position === undefined ? c.read(fd, part, length) : c.pread64(fd, part, length, position);
  return check("read", count, `descriptor ${fd}`);
}
/** At `position`, or where the descriptor stands: pwrite(2), write(2). May write less than given. */
export function writeSync(
  fd: number,
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
  position?: number,
): number {
  const part = bytes.subarray(offset, offset + length);
  const count = position === undefined ? c.write(fd, part, length) : c.pwrite64(fd, part, length, position);
  return check("write", count, `descriptor ${fd}`);
}

export function existsSync(path: string): boolean {
  return c.faccessat(AT_FDCWD, cstring(path), 0) === 0;
}

/** Whether this user, by the real uid, may read and write it: access(2). */
export function canAccess(path: string): boolean {
  return c.faccessat(AT_FDCWD, cstring(path), R_OK | W_OK) === 0;
}

export function canWrite(path: string): boolean {
  return c.faccessat(AT_FDCWD, cstring(path), W_OK) === 0;
}

/** What statx(2) tells, and whether it is a directory or a file. */
export type Stats = Status & { isDirectory(): boolean; isFile(): boolean; mtimeMs: number };

export function lstatSync(path: string): Stats {
  return withKind(statAt(AT_FDCWD, path));
}
export function statSync(path: string): Stats {
  return withKind(withFile(path, O_PATH, (fd) => statAt(fd, "")));
}
export function fstatSync(fd: number): Stats {
  return withKind(statAt(fd, ""));
}
function withKind(status: Status): Stats {
  const kind = status.mode & S_IFMT;
  return {
    ...status,
    isDirectory: () => kind === S_IFDIR,
    isFile: () => kind === S_IFREG,
    mtimeMs: status.modified.seconds * 1000 + status.modified.nanoseconds / 1e6,
  };
}

export function readdirSync(path: string): string[] {
  return withFile(path, O_RDONLY | O_DIRECTORY, listDirectory).map(({ name }) => name);
}

/** With `recursive` its parents too, and it may be there already. */
export function mkdirSync(path: string, { mode = 0o777, recursive = false } = {}): void {
  const result = c.mkdirat(AT_FDCWD, cstring(path), mode);
  if (recursive && failedWith(result, EEXIST) && statSync(path).isDirectory()) return;
  if (recursive && failedWith(result, ENOENT) && path.includes("/", 1)) {
    mkdirSync(path.slice(0, path.lastIndexOf("/")), { mode, recursive });
    return mkdirSync(path, { mode, recursive });
  }
  check("mkdir", result, path);
}

/** Of a file; with `force` it need not be there. */
export function rmSync(path: string, { force = false } = {}): void {
  const result = c.unlinkat(AT_FDCWD, cstring(path), 0);
  if (!(force && failedWith(result, ENOENT))) check("unlink", result, path);
}
export { rmSync as unlinkSync };
export function rmdirSync(path: string): void {
  check("rmdir", c.unlinkat(AT_FDCWD, cstring(path), AT_REMOVEDIR), path);
}

export function renameSync(from: string, to: string): void {
  check("rename", c.renameat2(AT_FDCWD, cstring(from), AT_FDCWD, cstring(to), 0), `${from} -> ${to}`);
}
export function linkSync(from: string, to: string): void {
  check("link", c.linkat(AT_FDCWD, cstring(from), AT_FDCWD, cstring(to), 0), `${from} -> ${to}`);
}
export function symlinkSync(target: string, path: string): void {
  check("symlink", c.symlinkat(cstring(target), AT_FDCWD, cstring(path)), path);
}
export function readlinkSync(path: string): string {
  return readlinkAt(AT_FDCWD, path);
}

export function chmodSync(path: string, mode: number): void {
  check("chmod", c.fchmodat(AT_FDCWD, cstring(path), mode), path);
}
/** Of the name itself, where that is a symlink. */
export function chownSync(path: string, uid: number, gid: number): void {
  check("chown", c.fchownat(AT_FDCWD, cstring(path), uid, gid, AT_SYMLINK_NOFOLLOW), path);
}
