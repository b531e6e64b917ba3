/**
 * The one door to the kernel: system calls by name, errno as an error, C strings. The typed wrappers stand in `ns/sys/`.
 * Pointers and BigInts stay inside these files.
 */

import { dlopen, FFIType, type Pointer, ptr, read, toArrayBuffer } from "bun:ffi";
import { SyscallError } from "../errors.ts";

/** System call numbers from <asm/unistd.h>. */
const numbers =
  process.arch === "arm64"
    ? {
        accept4: 242,
        bind: 200,
        capset: 91,
        clone: 220,
        clone3: 435,
        close: 57,
        close_range: 436,
        connect: 203,
        dup3: 24,
        epoll_create1: 20,
        epoll_ctl: 21,
        epoll_pwait: 22,
        execve: 221,
        execveat: 281,
        exit_group: 94,
        faccessat: 48,
        fallocate: 47,
        fchmod: 52,
        fchmodat: 53,
        fchown: 55,
        fchownat: 54,
        fcntl: 25,
        fgetxattr: 10,
        flistxattr: 13,
        flock: 32,
        fremovexattr: 16,
        fsetxattr: 7,
        fsync: 82,
        ftruncate: 46,
        getdents64: 61,
        getpid: 172,
        getppid: 173,
        getsockname: 204,
        getsockopt: 209,
        gettid: 178,
        inotify_add_watch: 27,
        inotify_init1: 26,
        ioctl: 29,
        keyctl: 219,
        kill: 129,
        lgetxattr: 9,
        linkat: 37,
        listen: 201,
        llistxattr: 12,
        lseek: 62,
        madvise: 233,
        memfd_create: 279,
        mkdirat: 34,
        mknodat: 33,
        mount: 40,
        mount_setattr: 442,
        move_mount: 429,
        open_tree: 428,
        openat: 56,
        openat2: 437,
        pidfd_getfd: 438,
        pidfd_open: 434,
        pidfd_send_signal: 424,
        pipe2: 59,
        pivot_root: 41,
        ppoll: 73,
        prctl: 167,
        pread64: 67,
        pwrite64: 68,
        pwritev2: 287,
        prlimit64: 261,
        read: 63,
        readlinkat: 78,
        recvfrom: 207,
        recvmsg: 212,
        renameat2: 276,
        rt_sigaction: 134,
        rt_sigprocmask: 135,
        sendmsg: 211,
        sendto: 206,
        setdomainname: 162,
        setgroups: 159,
        sethostname: 161,
        setns: 268,
        setresgid: 149,
        setresuid: 147,
        setsid: 157,
        setsockopt: 208,
        shutdown: 210,
        signalfd4: 74,
        socket: 198,
        socketpair: 199,
        splice: 76,
        statx: 291,
        symlinkat: 36,
        syncfs: 267,
        umask: 166,
        umount2: 39,
        unlinkat: 35,
        unshare: 97,
        utimensat: 88,
        wait4: 260,
        write: 64,
      }
    : {
        accept4: 288,
        bind: 49,
        capset: 126,
        clone: 56,
        clone3: 435,
        close: 3,
        close_range: 436,
        connect: 42,
        dup3: 292,
        epoll_create1: 291,
        epoll_ctl: 233,
        epoll_pwait: 281,
        execve: 59,
        execveat: 322,
        exit_group: 231,
        faccessat: 269,
        fallocate: 285,
        fchmod: 91,
        fchmodat: 268,
        fchown: 93,
        fchownat: 260,
        fcntl: 72,
        fgetxattr: 193,
        flistxattr: 196,
        flock: 73,
        fremovexattr: 199,
        fsetxattr: 190,
        fsync: 74,
        ftruncate: 77,
        getdents64: 217,
        getpid: 39,
        getppid: 110,
        getsockname: 51,
        getsockopt: 55,
        gettid: 186,
        inotify_add_watch: 254,
        inotify_init1: 294,
        ioctl: 16,
        keyctl: 250,
        kill: 62,
        lgetxattr: 192,
        linkat: 265,
        listen: 50,
        llistxattr: 195,
        lseek: 8,
        madvise: 28,
        memfd_create: 319,
        mkdirat: 258,
        mknodat: 259,
        mount: 165,
        mount_setattr: 442,
        move_mount: 429,
        open_tree: 428,
        openat: 257,
        openat2: 437,
        pidfd_getfd: 438,
        pidfd_open: 434,
        pidfd_send_signal: 424,
        pipe2: 293,
        pivot_root: 155,
        ppoll: 271,
        prctl: 157,
        pread64: 17,
        pwrite64: 18,
        pwritev2: 328,
        prlimit64: 302,
        read: 0,
        readlinkat: 267,
        recvfrom: 45,
        recvmsg: 47,
        renameat2: 316,
        rt_sigaction: 13,
        rt_sigprocmask: 14,
        sendmsg: 46,
        sendto: 44,
        setdomainname: 171,
        setgroups: 116,
        sethostname: 170,
        setns: 308,
        setresgid: 119,
        setresuid: 117,
        setsid: 112,
        setsockopt: 54,
        shutdown: 48,
        signalfd4: 289,
        socket: 41,
        socketpair: 53,
        splice: 275,
        statx: 332,
        symlinkat: 266,
        syncfs: 306,
        umask: 95,
        umount2: 166,
        unlinkat: 263,
        unshare: 272,
        utimensat: 280,
        wait4: 61,
        write: 1,
      };

export type SystemCall = keyof typeof numbers;
type Argument = number | bigint | NodeJS.TypedArray | null | undefined;

/**
 * Everything goes through syscall(2). A binding of its own for each function would cost 12 KB of the engine's heap, and
 * as that grows the engine starts threads: a process with threads can't enter a user namespace.
 */
const { syscall, __errno_location } = dlopen("libc.so.6", {
  __errno_location: { args: [], returns: "ptr" },
  syscall: { args: ["i64", "i64", "i64", "i64", "i64", "i64", "i64"], returns: FFIType.i64_fast },
}).symbols;
const errnoLocation = __errno_location() as Pointer;

type SystemCalls = Record<SystemCall, (...args: Argument[]) => number>;

/** The system calls, `c.openat(…)`: the kernel's own arguments and result, -1 where it failed. Buffers go by their address. */
export const c: SystemCalls = Object.create(
  new Proxy({} as SystemCalls, {
    get: (_, name: SystemCall, calls: SystemCalls) => (calls[name] = systemCall(numbers[name])), // once for each: later it is found before
  }),
);

function systemCall(number: number): (...args: Argument[]) => number {
  return (a, b, d, e, f, g) =>
    Number(syscall(number, toWord(a), toWord(b), toWord(d), toWord(e), toWord(f), toWord(g)));
}

function toWord(argument: Argument): number | bigint {
  return typeof argument === "object" ? address(argument) : (argument ?? 0);
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
export function address(buffer: NodeJS.TypedArray | null): number {
  return buffer === null ? 0 : ptr(buffer);
}

/** The bytes of this process at an address. */
export function memory(start: number, length: number): Uint8Array {
  return new Uint8Array(toArrayBuffer(start as Pointer, 0, length));
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
