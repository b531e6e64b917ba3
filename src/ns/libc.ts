/**
 * The one door to the C library: bindings, errno as an error, C strings. The typed wrappers stand in `ns/sys/`.
 * Pointers and BigInts stay inside these files.
 */

import { dlopen, type FFIFunction, FFIType, type Pointer, ptr, read } from "bun:ffi";
import { SyscallError } from "../errors.ts";

const bindings = {
  unshare: { args: ["i32"], returns: "i32" },
  setns: { args: ["i32", "i32"], returns: "i32" },
  mount: { args: ["ptr", "ptr", "ptr", "u64", "ptr"], returns: "i32" },
  umount2: { args: ["ptr", "i32"], returns: "i32" },
  sethostname: { args: ["ptr", "u64"], returns: "i32" },
  setdomainname: { args: ["ptr", "u64"], returns: "i32" },

  setresuid: { args: ["u32", "u32", "u32"], returns: "i32" },
  setresgid: { args: ["u32", "u32", "u32"], returns: "i32" },
  setgroups: { args: ["u64", "ptr"], returns: "i32" },
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  execve: { args: ["ptr", "ptr", "ptr"], returns: "i32" },
  waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" },
  kill: { args: ["i32", "i32"], returns: "i32" },
  signal: { args: ["i32", "i64"], returns: FFIType.i64_fast },
  sigprocmask: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  signalfd: { args: ["i32", "ptr", "i32"], returns: "i32" },
  prlimit: { args: ["i32", "i32", "ptr", "ptr"], returns: "i32" },
  setsid: { args: [], returns: "i32" },
  umask: { args: ["u32"], returns: "u32" },
  _exit: { args: ["i32"], returns: "void" },

  openat: { args: ["i32", "ptr", "i32", "u32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  read: { args: ["i32", "ptr", "u64"], returns: FFIType.i64_fast },
  write: { args: ["i32", "ptr", "u64"], returns: FFIType.i64_fast },
  lseek: { args: ["i32", "i64", "i32"], returns: FFIType.i64_fast },
  dup2: { args: ["i32", "i32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i64"], returns: "i32" },
  flock: { args: ["i32", "i32"], returns: "i32" },
  fsync: { args: ["i32"], returns: "i32" },
  syncfs: { args: ["i32"], returns: "i32" },
  ftruncate: { args: ["i32", "i64"], returns: "i32" },
  fchown: { args: ["i32", "u32", "u32"], returns: "i32" },
  fchmod: { args: ["i32", "u32"], returns: "i32" },
  futimens: { args: ["i32", "ptr"], returns: "i32" },
  mkdirat: { args: ["i32", "ptr", "u32"], returns: "i32" },
  mknodat: { args: ["i32", "ptr", "u32", "u64"], returns: "i32" },
  symlinkat: { args: ["ptr", "i32", "ptr"], returns: "i32" },
  linkat: { args: ["i32", "ptr", "i32", "ptr", "i32"], returns: "i32" },
  unlinkat: { args: ["i32", "ptr", "i32"], returns: "i32" },
  renameat2: { args: ["i32", "ptr", "i32", "ptr", "u32"], returns: "i32" },
  readlinkat: { args: ["i32", "ptr", "ptr", "u64"], returns: FFIType.i64_fast },
  fchmodat: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
  fchownat: { args: ["i32", "ptr", "u32", "u32", "i32"], returns: "i32" },
  utimensat: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  lgetxattr: { args: ["ptr", "ptr", "ptr", "u64"], returns: FFIType.i64_fast },
  llistxattr: { args: ["ptr", "ptr", "u64"], returns: FFIType.i64_fast },
  fsetxattr: { args: ["i32", "ptr", "ptr", "u64", "i32"], returns: "i32" },
  fgetxattr: { args: ["i32", "ptr", "ptr", "u64"], returns: FFIType.i64_fast },
  flistxattr: { args: ["i32", "ptr", "u64"], returns: FFIType.i64_fast },

  pipe2: { args: ["ptr", "i32"], returns: "i32" },
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  socketpair: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  accept4: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  sendmsg: { args: ["i32", "ptr", "i32"], returns: FFIType.i64_fast },
  recvmsg: { args: ["i32", "ptr", "i32"], returns: FFIType.i64_fast },

  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  tcgetattr: { args: ["i32", "ptr"], returns: "i32" },
  tcsetattr: { args: ["i32", "i32", "ptr"], returns: "i32" },
} satisfies Record<string, FFIFunction>;

/** System call numbers from <asm/unistd.h>: of calls that glibc 2.31 does not wrap, and of those that come early. */
const numbers = {
  read: { x64: 0, arm64: 63 },
  write: { x64: 1, arm64: 64 },
  close: { x64: 3, arm64: 57 },
  lseek: { x64: 8, arm64: 62 },
  socketpair: { x64: 53, arm64: 199 },
  flock: { x64: 73, arm64: 32 },
  setgroups: { x64: 116, arm64: 159 },
  setresuid: { x64: 117, arm64: 147 },
  setresgid: { x64: 119, arm64: 149 },
  capset: { x64: 126, arm64: 91 },
  pivot_root: { x64: 155, arm64: 41 },
  prctl: { x64: 157, arm64: 167 },
  getdents64: { x64: 217, arm64: 61 },
  keyctl: { x64: 250, arm64: 219 },
  openat: { x64: 257, arm64: 56 },
  mkdirat: { x64: 258, arm64: 34 },
  fchownat: { x64: 260, arm64: 54 },
  unlinkat: { x64: 263, arm64: 35 },
  unshare: { x64: 272, arm64: 97 },
  pipe2: { x64: 293, arm64: 59 },
  setns: { x64: 308, arm64: 268 },
  statx: { x64: 332, arm64: 291 },
  pidfd_send_signal: { x64: 424, arm64: 424 },
  open_tree: { x64: 428, arm64: 428 },
  move_mount: { x64: 429, arm64: 429 },
  pidfd_open: { x64: 434, arm64: 434 },
  close_range: { x64: 436, arm64: 436 },
  openat2: { x64: 437, arm64: 437 },
  mount_setattr: { x64: 442, arm64: 442 },
} satisfies Record<string, { x64: number; arm64: number }>;

type Argument = number | bigint | Uint8Array | null | undefined;

/** A function that makes this system call. */
function systemCall(name: keyof typeof numbers): (...args: Argument[]) => number {
  const number = numbers[name][process.arch as "x64" | "arm64"];
  return (a, b, d, e, f, g) =>
    Number(base.syscall(number, toWord(a), toWord(b), toWord(d), toWord(e), toWord(f), toWord(g)));
}

function toWord(argument: Argument): number | bigint {
  return typeof argument === "number" || typeof argument === "bigint" ? argument : address(argument ?? null);
}

const base = dlopen("libc.so.6", {
  __errno_location: { args: [], returns: "ptr" },
  syscall: { args: ["i64", "i64", "i64", "i64", "i64", "i64", "i64"], returns: FFIType.i64_fast },
}).symbols;
const errnoLocation = base.__errno_location() as Pointer;

/**
 * The C library. Each function is bound at its first use, and those that come before the user namespace is entered are
 * plain system calls: each binding adds to the engine's heap, which makes it start threads, and a process with threads
 * can't enter a user namespace.
 */
export const c = {} as ReturnType<typeof dlopen<typeof bindings>>["symbols"];
for (const name of Object.keys(bindings) as (keyof typeof bindings)[]) {
  Object.defineProperty(c, name, {
    configurable: true,
    get() {
      const value = name in numbers ? systemCall(name as keyof typeof numbers) : bind(name);
      Object.defineProperty(c, name, { value });
      return value;
    },
  });
}

function bind(name: keyof typeof bindings) {
  return dlopen("libc.so.6", { [name]: bindings[name] }).symbols[name];
}

/** Passes a result on, or throws what errno(3) says. Nothing may run between the call and this. */
export function check(syscall: string, result: number | bigint, subject?: string): number {
  if (result !== -1) return Number(result);
  throw new SyscallError(syscall, read.i32(errnoLocation, 0), subject);
}

/** True where a call failed with one of these errors: for those that are an answer, since making an Error is slow. */
export function failedWith(result: number | bigint, ...errnos: number[]): boolean {
  return result === -1 && errnos.includes(read.i32(errnoLocation, 0));
}

/** A NUL-terminated copy. A NUL inside would silently cut a path: that is an error. */
export function cstring(text: string): Buffer {
  if (text.includes("\0")) throw new SyscallError("open", 22 /* EINVAL */, JSON.stringify(text));
  return Buffer.from(`${text}\0`);
}

/** The address of a buffer's bytes. The caller keeps the buffer referenced until the call has returned. */
export function address(buffer: Uint8Array | null): number {
  return buffer === null ? 0 : ptr(buffer);
}

/** A NULL-terminated `char *[]`, and what must stay referenced while it is used. */
export function cstringArray(texts: string[]): { pointers: BigUint64Array; strings: Buffer[] } {
  const strings = texts.map(cstring);
  const pointers = new BigUint64Array(texts.length + 1);
  strings.forEach((string, index) => {
    pointers[index] = BigInt(address(string));
  });
  return { pointers, strings };
}

/** syscall(2) by name. Buffers are passed by address and stay referenced for the call. */
export function syscall(name: keyof typeof numbers, ...args: Argument[]): number {
  return systemCall(name)(...args);
}
