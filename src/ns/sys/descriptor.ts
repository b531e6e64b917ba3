/** Descriptors that carry data between processes: pipes, unix sockets, SCM_RIGHTS, poll(2), signalfd(2). */

import { SyscallError } from "../../errors.ts";
import {
  AF_UNIX,
  AT_FDCWD,
  DN_CREATE,
  DN_MODIFY,
  DN_MULTISHOT,
  DN_RENAME,
  F_GETFL,
  F_NOTIFY,
  F_SETFL,
  F_SETPIPE_SZ,
  IN_CREATE,
  IN_DELETE_SELF,
  IN_MODIFY,
  IN_MOVE_SELF,
  IN_MOVED_TO,
  MFD_CLOEXEC,
  MSG_CMSG_CLOEXEC,
  MSG_NOSIGNAL,
  O_CLOEXEC,
  O_NONBLOCK,
  O_PATH,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from "../constants.ts";
import { address, c, check, cstring, failedWith } from "../libc.ts";
import { signalSet, signalSetBytes } from "./process.ts";

// <asm-generic/errno.h>
const EINTR = 4;
const EAGAIN = 11;
const EINVAL = 22;
const EMFILE = 24;
const ENOSYS = 38;
const EOPNOTSUPP = 95;
const RWF_NOWAIT = 8; // <linux/fs.h>
const SPLICE_F_NONBLOCK = 2; // <fcntl.h>

/** read(2), again after EINTR. 0 at the end; undefined where it would block. */
export function readInto(fd: number, buffer: Uint8Array): number | undefined {
  return transfer("read", fd, () => c.read(fd, buffer, buffer.length));
}
/** write(2), again after EINTR. May write less than given; undefined where it would block. */
export function writeFrom(fd: number, bytes: Uint8Array): number | undefined {
  return transfer("write", fd, () => c.write(fd, bytes, bytes.length));
}
function transfer(syscall: string, fd: number, call: () => number | bigint): number | undefined {
  for (;;) {
    try {
      return check(syscall, call(), `descriptor ${fd}`);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.code === "EAGAIN") return undefined;
      if (error.code !== "EINTR") throw error;
    }
  }
}
/**
 * pwritev2(2), RWF_NOWAIT: as much as can be written without waiting, 0 where that is nothing. Undefined where this kind
 * of descriptor can't say: pipes can since Linux 6.4, terminals can't.
 */
export function writeWithoutWaiting(fd: number, bytes: Uint8Array): number | undefined {
  const vector = ioVector(bytes);
  for (;;) {
    const written = c.pwritev2(fd, vector, 1, -1, -1, RWF_NOWAIT);
    if (failedWith(written, EAGAIN)) return 0;
    if (failedWith(written, EOPNOTSUPP, ENOSYS, EINVAL)) return undefined;
    if (!failedWith(written, EINTR)) return check("write", written, `descriptor ${fd}`);
  }
}
/** Writes all of it to a descriptor; waits where that would block. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length; ) {
    const written = writeFrom(fd, bytes.subarray(offset));
    if (written === undefined) poll([{ fd, events: 4 /* POLLOUT */ }], -1);
    else offset += written;
  }
}

/** pipe2(2), close-on-exec. */
export function pipe(): { readFd: number; writeFd: number } {
  const fds = new Int32Array(2);
  check("pipe", c.pipe2(fds, O_CLOEXEC));
  return { readFd: fds[0]!, writeFd: fds[1]! };
}
/**
 * splice(2): moves up to `maxBytes` from a socket to a pipe or back, without copying them. 0 at the end; undefined where it
 * would block. What is moved out of a pipe must be in it: where more was announced, the kernel would wait for it (MSG_MORE).
 */
export function splice(from: number, to: number, maxBytes: number): number | undefined {
  const length = c.splice(from, null, to, null, maxBytes, SPLICE_F_NONBLOCK);
  if (failedWith(length, EAGAIN)) return undefined;
  return check("splice", length, `descriptor ${from}`);
}
/** fcntl(2) F_SETPIPE_SZ; a refusal (pipe-user-pages-soft) leaves the size as it was. */
export function growPipe(fd: number, sizeBytes: number): void {
  c.fcntl(fd, F_SETPIPE_SZ, sizeBytes);
}
export function setNonBlocking(fd: number, on: boolean): void {
  const flags = check("fcntl", c.fcntl(fd, F_GETFL, 0), `descriptor ${fd}`);
  check("fcntl", c.fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), `descriptor ${fd}`);
}

/** socketpair(2) of unix sockets. `packets` keeps message borders. */
export function socketPair(kind: "stream" | "packets"): [number, number] {
  const fds = new Int32Array(2);
  const type = (kind === "stream" ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC;
  check("socketpair", c.socketpair(AF_UNIX, type, 0, fds));
  return [fds[0]!, fds[1]!];
}

/** A unix socket that listens at `path`, which must not be there yet; non-blocking. */
export function listenAt(path: string): number {
  return atUnixAddress(path, (fd, address) => {
    check("bind", c.bind(fd, address, address.length), path);
    check("listen", c.listen(fd, 64), path);
    setNonBlocking(fd, true);
  });
}
/** connect(2) to it. ECONNREFUSED where nobody listens any more, ENOENT where nothing is there. */
export function connectTo(path: string): number {
  return atUnixAddress(path, (fd, address) => check("connect", c.connect(fd, address, address.length), path));
}

/** A path may be longer than the 108 bytes of a sockaddr_un (unix(7)): so the folder goes by its descriptor. */
function atUnixAddress(path: string, action: (fd: number, address: Buffer) => unknown): number {
  const slash = path.lastIndexOf("/");
  const folder = check("open", c.openat(AT_FDCWD, cstring(path.slice(0, slash)), O_PATH | O_CLOEXEC, 0), path);
  const fd = socket(AF_UNIX, SOCK_STREAM);
  try {
    const name = cstring(`/proc/self/fd/${folder}${path.slice(slash)}`);
    const address = Buffer.concat([Buffer.from(new Uint16Array([AF_UNIX]).buffer), name]);
    action(fd, address);
    return fd;
  } catch (error) {
    c.close(fd);
    throw error;
  } finally {
    c.close(folder);
  }
}

/** accept4(2), close-on-exec and non-blocking; undefined where nobody waits. */
export function accept(fd: number): number | undefined {
  return transfer("accept", fd, () => c.accept4(fd, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

/** A socket address_family(7) socket for ioctl(2) on interfaces. */
export function socket(family: number, type: number, protocol = 0): number {
  return check("socket", c.socket(family, type | SOCK_CLOEXEC, protocol));
}

/** sendmsg(2): one message, with descriptors (SCM_RIGHTS, unix(7)). */
export function sendMessage(fd: number, bytes: Uint8Array, fds: number[] = []): void {
  const message = messageHeader(bytes.length ? bytes : new Uint8Array(1), fds);
  transfer("sendmsg", fd, () => c.sendmsg(fd, message.header, MSG_NOSIGNAL));
  void message.keep;
}
/** recvmsg(2): one message of at most `maxBytes`, with up to eight descriptors (close-on-exec). Empty `bytes` at the end. */
export function receiveMessage(fd: number, maxBytes = 65536): { bytes: Buffer; fds: number[] } | undefined {
  const bytes = Buffer.allocUnsafe(maxBytes); // its pages stay untouched where little comes
  const message = messageHeader(bytes, [0, 0, 0, 0, 0, 0, 0, 0]);
  message.control.fill(0);
  const length = transfer("recvmsg", fd, () => c.recvmsg(fd, message.header, MSG_CMSG_CLOEXEC));
  if (length === undefined) return undefined;
  const controlLength = Number(message.control.readBigUInt64LE(0));
  const fds: number[] = [];
  for (let offset = 16; offset + 4 <= controlLength; offset += 4) fds.push(message.control.readInt32LE(offset));
  return { bytes: bytes.subarray(0, length), fds };
}

/** struct msghdr, one iovec and one cmsghdr, as <bits/socket.h> lays them out on 64-bit machines. */
function messageHeader(bytes: Uint8Array, fds: number[]): { header: Buffer; control: Buffer; keep: unknown } {
  const iovec = ioVector(bytes);
  const control = Buffer.alloc(16 + Math.ceil((fds.length * 4) / 8) * 8);
  control.writeBigUInt64LE(BigInt(16 + fds.length * 4), 0);
  control.writeInt32LE(1, 8); // SOL_SOCKET
  control.writeInt32LE(1, 12); // SCM_RIGHTS
  fds.forEach((fd, index) => {
    control.writeInt32LE(fd, 16 + index * 4);
  });
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(BigInt(address(iovec)), 16);
  header.writeBigUInt64LE(1n, 24);
  if (fds.length) {
    header.writeBigUInt64LE(BigInt(address(control)), 32);
    header.writeBigUInt64LE(BigInt(control.length), 40);
  }
  return { header, control, keep: [iovec, bytes] };
}

/** struct iovec. `bytes` stay referenced while it is used. */
function ioVector(bytes: Uint8Array): Buffer {
  const iovec = Buffer.alloc(16);
  iovec.writeBigUInt64LE(BigInt(address(bytes)), 0);
  iovec.writeBigUInt64LE(BigInt(bytes.length), 8);
  return iovec;
}

/** What to wait for on a descriptor: POLLIN, POLLOUT. */
export interface PollRequest {
  fd: number;
  events: number;
}
/** poll(2): the events that arrived, in the order asked. `timeoutMs` -1 waits for ever. */
export function poll(requests: PollRequest[], timeoutMs: number): number[] {
  const fds = Buffer.alloc(Math.max(1, requests.length) * 8);
  requests.forEach(({ fd, events }, index) => {
    fds.writeInt32LE(fd, index * 8);
    fds.writeInt16LE(events, index * 8 + 4);
  });
  const timeout = timeoutMs < 0 ? null : timespec(timeoutMs);
  try {
    check("poll", c.ppoll(fds, requests.length, timeout, null, 0));
  } catch (error) {
    if (!(error instanceof SyscallError && error.code === "EINTR")) throw error;
    return requests.map(() => 0);
  }
  return requests.map((_, index) => fds.readInt16LE(index * 8 + 6));
}

function timespec(milliseconds: number): BigInt64Array {
  const seconds = Math.floor(milliseconds / 1000);
  return new BigInt64Array([BigInt(seconds), BigInt(Math.round((milliseconds - seconds * 1000) * 1e6))]);
}

/** memfd_create(2): a file without a name, close-on-exec. */
export function anonymousFile(name: string, bytes: Uint8Array): number {
  const fd = check("memfd_create", c.memfd_create(cstring(name), MFD_CLOEXEC));
  writeAll(fd, bytes);
  return fd;
}

/**
 * inotify(7): a descriptor that is readable when one of these is written, moved or removed, or something appears in it.
 * Undefined where the user has no instance left (fs.inotify.max_user_instances: 128, and editors take many).
 */
export function watchPaths(paths: string[]): number | undefined {
  const fd = c.inotify_init1(O_CLOEXEC | O_NONBLOCK);
  if (failedWith(fd, EMFILE)) return undefined;
  check("inotify_init1", fd);
  for (const path of paths) {
    const events = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF;
    check("inotify_add_watch", c.inotify_add_watch(fd, cstring(path), events), path);
  }
  return fd;
}
/** How long to wait for a change where there is no such descriptor, and it has to be looked for: milliseconds. */
export function patienceMs(changes: number | undefined): number {
  return changes === undefined ? 50 : -1;
}
/** Reads away what such a descriptor tells: it is readable again at the next change. */
export function forgetChanges(fd: number): void {
  const events = new Uint8Array(4096);
  while (readInto(fd, events));
}

/** signalfd(2), non-blocking; the signals must be blocked first (setSignalMask). */
export function signalFd(signals: number[]): number {
  return check("signalfd", c.signalfd4(-1, signalSet(signals), signalSetBytes, O_CLOEXEC | O_NONBLOCK));
}
export const SIGIO = 29;
/** fcntl(2) F_NOTIFY: from now on this process gets SIGIO when a file in the directory appears or changes, until that is closed. */
export function notifyOfChanges(directoryFd: number): void {
  const events = DN_MODIFY | DN_CREATE | DN_RENAME | DN_MULTISHOT;
  check("fcntl", c.fcntl(directoryFd, F_NOTIFY, events), "F_NOTIFY");
}
/** The next pending signal; undefined where there is none. `fromKernel`: a terminal's or a fault's, not kill(2)'s. */
export function readSignal(fd: number): { signal: number; fromKernel: boolean } | undefined {
  const info = Buffer.alloc(128); // struct signalfd_siginfo
  if (readInto(fd, info) !== 128) return undefined;
  return { signal: info.readUInt32LE(0), fromKernel: info.readInt32LE(8) === 0x80 }; // SI_KERNEL
}
