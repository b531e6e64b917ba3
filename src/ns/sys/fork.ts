/**
 * New processes. fork(2) takes a tenth of the time of a program start, and its child has what is loaded already: so the
 * stages of a container's start are copies of the command. What such a child must not do is return to the event loop,
 * since its epoll descriptor is shared with its parent: it runs synchronously to its end.
 */

import { PodError } from "../../errors.ts";
import {
  CLONE_INTO_CGROUP,
  CLONE_NEWNS,
  CLONE_PARENT,
  F_DUPFD_CLOEXEC,
  MADV_DOFORK,
  MS_PRIVATE,
  MS_REC,
  O_DIRECTORY,
  O_RDONLY,
  O_RDWR,
} from "../constants.ts";
import { c, check, memory } from "../libc.ts";
import { pipe, readInto, writeAll } from "./descriptor.ts";
import { close, duplicate, listDirectory, open, readlinkAt, readText } from "./file.ts";
import { mount, unlessErrno, unshare } from "./namespace.ts";
import {
  closeOnExecFrom,
  execve,
  exitNow,
  kill,
  parentProcessId,
  processId,
  resetSignals,
  setName,
  setParentDeathSignal,
  setSignalMask,
  waitPid,
} from "./process.ts";

const SIGCHLD = 17;

export interface ForkOptions {
  /** CLONE_NEW* flags: the copy is in new ones. */
  namespaces?: number;
  /** The copy is no child of this process's but a sibling: its parent's to wait for. */
  isSibling?: boolean;
  /** The last step before, done again should another copy be needed. */
  atLast?: () => void;
  /** A descriptor of the control group in which the copy is born; where the kernel refuses that, it stays in this process's. */
  cgroup?: number;
}

/**
 * Runs `child` in a copy of this process: clone(2). The copy ends with what `child` returns as its exit code, or with 1
 * where it throws. Returns the copy's pid.
 */
export function fork(child: () => number, { namespaces = 0, isSibling, atLast, cgroup }: ForkOptions = {}): number {
  const flags = isSibling ? namespaces | CLONE_PARENT : namespaces;
  inheritCode();
  for (;;) {
    const before = waitForIdleThreads();
    const gate = before === undefined ? undefined : pipe();
    atLast?.();
    const pid = clone(flags, cgroup);
    if (pid === 0) runChild(child, gate);
    if (!gate || letGo(pid, gate, before!)) return pid;
    if (!isSibling) waitPid(pid, true);
  }
}

/** To be born in a control group takes no time; to be moved there later takes the kernel some 7 ms. */
function clone(flags: number, cgroup: number | undefined): number {
  if (cgroup !== undefined) {
    const args = new BigUint64Array(11); // struct clone_args of <linux/sched.h>: flags, …, exit_signal at 4, …, cgroup at 10
    args[0] = BigInt(flags) | CLONE_INTO_CGROUP;
    args[4] = flags & CLONE_PARENT ? 0n : BigInt(SIGCHLD); // a sibling's is this process's own
    args[10] = BigInt(cgroup);
    const pid = c.clone3(args, args.byteLength);
    if (pid !== -1) return pid;
  }
  return check("clone", c.clone(SIGCHLD | flags, 0, 0, 0, 0));
}

type Gate = ReturnType<typeof pipe>;

/**
 * A copy does nothing until its parent lets it, and none is let go while whose making another thread has run, or begun:
 * only the calling thread goes on in a copy, so a lock that another one held at that moment would never be opened there.
 * The engine's helper threads sleep nearly always, and hold none then. Where there is no other thread, there is no gate.
 */
function runChild(child: () => number, gate: Gate | undefined): never {
  let code = 1;
  try {
    if (gate) passGate(gate);
    code = child();
  } finally {
    exitNow(code);
  }
}

function passGate({ readFd, writeFd }: Gate): void {
  close(writeFd);
  if (readInto(readFd, new Uint8Array(1)) !== 1) exitNow(1); // it is not to be
  close(readFd);
}

/** False where the copy was not made in peace, and has been ended. */
function letGo(pid: number, { readFd, writeFd }: Gate, before: string): boolean {
  const isGood = threads().join() === before;
  if (isGood) writeAll(writeFd, new Uint8Array(1));
  else kill(pid, 9);
  close(readFd);
  close(writeFd);
  return isGood;
}

/** Its children, while it lives. */
export function childrenOf(pid: number): number[] {
  let text = "";
  unlessErrno(["ENOENT", "ESRCH"], () => {
    text = readText(`/proc/${pid}/task/${pid}/children`);
  });
  return text.split(" ").filter(Boolean).map(Number);
}

let codeIsInherited = false;

/** The engine excludes its compiled code from copies (MADV_DONTFORK), bun:ffi's trampolines among it: madvise(2). */
function inheritCode(): void {
  if (codeIsInherited) return;
  const maps = readText("/proc/self/maps"); // 7f1c40000000-7f1c80000000 rwxp …
  for (let at = maps.indexOf(" rwxp"); at !== -1; at = maps.indexOf(" rwxp", at + 1)) {
    const [start, end] = maps.slice(maps.lastIndexOf("\n", at) + 1, at).split("-");
    const [from, to] = [Number.parseInt(start!, 16), Number.parseInt(end!, 16)];
    check("madvise", c.madvise(from, to - from, MADV_DOFORK), "MADV_DOFORK");
  }
  codeIsInherited = true;
}

/** Until this process's other threads all sleep: what threads() says then, undefined where there are none. */
function waitForIdleThreads(): string | undefined {
  const deadline = performance.now() + 30_000;
  for (let waitMs = 0.1; performance.now() < deadline; waitMs *= 1.5) {
    const found = threads();
    if (found.every((text) => text.startsWith("S"))) return found.join() || undefined;
    Bun.sleepSync(waitMs); // longer each time: where processors are rare, looking would take their time
  }
  throw new PodError("copy this process: its other threads do not rest");
}

/** The other threads: of each its state (`S` sleeps) and how often it has given up the processor. Equal texts: none has run. */
function threads(): string[] {
  const task = open("/proc/self/task", O_RDONLY | O_DIRECTORY);
  try {
    const others = listDirectory(task).filter(({ name }) => name !== String(processId()));
    return others.map(({ name }) => describe(name));
  } finally {
    close(task);
  }
}

function describe(thread: string): string {
  let status: string | undefined;
  unlessErrno(["ENOENT", "ESRCH"], () => {
    status = readText(`/proc/self/task/${thread}/status`); // proc(5)
  });
  if (status === undefined) return `X${thread}`; // it is just ending
  const state = status[status.indexOf("State:") + "State:\t".length];
  return `${state}${thread} ${status.slice(status.indexOf("voluntary_ctxt_switches:"))}`;
}

/** What a program is started with. Everything that is not given it does not have. */
export interface SpawnOptions {
  /** `NAME=value`. */
  env: string[];
  /** What become its descriptors 0, 1, 2 …; null is /dev/null. */
  fds: (number | null)[];
  cwd?: string;
  /** It gets SIGKILL when this process ends. */
  diesWithParent?: boolean;
  /** It does not hear these. */
  blockedSignals?: number[];
  /** It has a mount namespace of its own, from which nothing comes back: for a program that unmounts what it does not need. */
  ownMounts?: boolean;
}

/** Starts the program at `path`. Where that fails, its stderr says why and it ends with 127. Returns its pid. */
export function spawn(path: string, args: string[], options: SpawnOptions): number {
  const parent = processId();
  return fork(() => {
    try {
      if (options.diesWithParent) {
        setParentDeathSignal(9);
        if (parentProcessId() !== parent) return 1; // it ended before the signal was asked for
      }
      resetSignals(); // pasta ends where SIGPIPE is ignored, as the engine has it
      setSignalMask("set", options.blockedSignals ?? []);
      if (options.ownMounts) {
        unshare(CLONE_NEWNS, "new mount namespace");
        mount("none", "/", "", MS_REC | MS_PRIVATE);
      }
      if (options.cwd) process.chdir(options.cwd);
      takeDescriptors(options.fds);
      closeOnExecFrom(options.fds.length);
      execve(path, [path, ...args], options.env);
    } catch (error) {
      writeAll(2, Buffer.from(`${(error as Error).message}\n`));
      return 127;
    }
  });
}

/** Makes these the descriptors 0, 1, 2 …, in two steps, since a number may be both old and new; null is /dev/null. */
export function takeDescriptors(fds: (number | null)[]): void {
  const copies = fds.map((fd) => {
    const source = fd ?? open("/dev/null", O_RDWR);
    const copy = check("fcntl", c.fcntl(source, F_DUPFD_CLOEXEC, fds.length), `descriptor ${fd}`);
    if (fd === null) close(source);
    return copy;
  });
  copies.forEach((copy, index) => {
    duplicate(copy, index);
    close(copy);
  });
}

/** Closes all descriptors from 3 on but `keep` and the event loop's own (epoll, eventfd), which the engine may still write to. */
export function closeInherited(keep: (number | undefined)[]): void {
  const directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
  const fds = listDirectory(directory).map(({ name }) => Number(name));
  for (const fd of fds) {
    if (fd < 3 || fd === directory || keep.includes(fd)) continue;
    if (!readlinkAt(directory, String(fd)).startsWith("anon_inode:")) close(fd);
  }
  close(directory);
}

/**
 * What ps(1) shows of this process: its name, and in place of the command line, which may hold secrets. As much of
 * `title` as there is room for: proc(5) stat fields 48 and 49, arg_start and arg_end.
 */
export function setTitle(title: string): void {
  setName(title);
  const stat = readText("/proc/self/stat");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [start, end] = [Number(fields[45]), Number(fields[46])];
  if (!start || end <= start) return;
  const area = memory(start, end - start);
  area.fill(0);
  area.set(Buffer.from(title).subarray(0, area.length - 1));
}
