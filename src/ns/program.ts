/** The last steps of init and of `exec`: from root of the container's user namespace to the user's program. */

import { formatError, hasCode, hintOf, PodError, SyscallError } from "../errors.ts";
import type { RuntimeProcess } from "../spec.ts";
import { capabilityMask, capabilityNumber } from "./capabilities.ts";
import { executeInContainer, findCommand } from "./command.ts";
import {
  AT_FDCWD,
  MS_BIND,
  O_CREAT,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  POLLHUP,
  RESOLVE_IN_ROOT,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
} from "./constants.ts";
import { runReaper } from "./reaper.ts";
import { receive, type StageFailure, send } from "./stage.ts";
import { poll } from "./sys/descriptor.ts";
import { close, duplicate, fchown, mkdirAt, open, openAt2, readDescriptor, statAt } from "./sys/file.ts";
import { mount, unlessErrno } from "./sys/namespace.ts";
import {
  clearAmbient,
  dropFromBoundingSet,
  exitNow,
  inBoundingSet,
  raiseAmbient,
  setCapabilities,
  setGid,
  setGroups,
  setKeepCapabilities,
  setNoNewPrivs,
  setParentDeathSignal,
  setRlimit,
  setUid,
  setUmask,
} from "./sys/process.ts";
import { openPty, setControllingTerminal, setWindowSize, type WindowSize } from "./sys/terminal.ts";
import { type ResolvedUser, resolveUser } from "./user.ts";
import { mappedIds } from "./userns.ts";

/** What is to run; the process is the root of the container's user namespace, in all of its namespaces. */
export interface ProgramRequest {
  process: RuntimeProcess;
  /** The user as given, for the container's own passwd file. */
  user: string;
  windowSize?: WindowSize;
  /** It is the container's first process: it has the console, makes its working directory, and dies with its parent. */
  isFirst: boolean;
  /** PID 1 reaps and forwards signals, and the program is its child. */
  reaper: boolean;
}

/** To the monitor, or to the command for `exec`. After "ready" comes one more message; then the channel closes, for the program runs. */
export type ProgramReport =
  | { kind: "terminal" } // the master is attached: SCM_RIGHTS
  | { kind: "ready" }
  | { kind: "threads" } // of `exec`: this copy can't enter the namespaces, another may
  | { kind: "failed"; failure: StageFailure };

/** What `action` fails with goes over the channel, with the step that `at` named last. */
export function orReport(channel: number, action: (at: (step: string) => void) => never): never {
  let step = "";
  try {
    return action((name) => {
      step = name;
    });
  } catch (error) {
    const { exitCode } = error as { exitCode?: number };
    const failure: StageFailure = { step, message: formatError(error), hint: hintOf(error), exitCode };
    send(channel, { kind: "failed", failure } satisfies ProgramReport);
    exitNow(exitCode ?? 1);
  }
}

/** The order is the design: each step needs what stands above it, or must come before what stands below. */
export function becomeProgram(
  channel: number,
  request: ProgramRequest,
  at: (step: string) => void,
  ready: () => void,
): never {
  const { process: program, isFirst } = request;
  at(""); // what it fails with says all
  const user = resolveUser(request.user, readInRoot("/etc/passwd"), readInRoot("/etc/group"));
  const env = withHome(program.env, user);

  if (program.terminal) {
    at("open the terminal");
    openTerminal(channel, user, request);
  } else {
    at("hand over the standard streams");
    for (const fd of [0, 1, 2]) giveStream(fd, user); // or `-u 1000` can't open /dev/stdout
  }

  at(`working directory ${program.cwd}`);
  if (isFirst) makeDirectories(program.cwd);
  enterWorkingDirectory(program.cwd);

  ready();
  if (!receive(channel)) exitNow(1); // the other side is gone

  at("set resource limits");
  for (const { type, soft, hard } of program.rlimits) setRlimit(rlimitNumber(type), soft, hard);

  at(`become user ${user.uid}:${user.gid}`);
  setUmask(program.user.umask ?? 0o022);
  dropBoundingSet(program); // needs CAP_SETPCAP, so before the others go
  unlessErrno(["EPERM"], () => setGroups(user.additionalGids)); // one-id mode denies it, and has no groups to set
  setKeepCapabilities(true); // a change of uid from 0 would drop them all: capabilities(7)
  takeIds(user);
  setKeepCapabilities(false);
  dropCapabilities(program, user);
  if (program.noNewPrivileges) setNoNewPrivs();

  if (isFirst) setParentDeathSignal(9); // after setuid, which clears it
  if (isClosed(channel)) exitNow(1); // the other side was killed before that

  at("exec");
  const command = findCommand(program.args, env);
  const execute = () => executeInContainer(channel, command, program.args, env);
  return request.reaper ? runReaper(execute) : execute();
}

/** A file of the container, by a path that stays in its root (it may be a symlink); empty where there is none. */
export function readInRoot(path: string, rootDir = "/"): string {
  const root = open(rootDir, O_PATH);
  try {
    let text = "";
    unlessErrno(["ENOENT", "ENOTDIR", "EACCES", "ELOOP", "EXDEV"], () => {
      const fd = openAt2(root, path, O_RDONLY | O_NONBLOCK, RESOLVE_IN_ROOT); // the image's may be a FIFO
      try {
        text = readBounded(fd, path);
      } finally {
        close(fd);
      }
    });
    return text;
  } finally {
    close(root);
  }
}

const fileMaximumBytes = 16 << 20;

/**
 * The container's root makes these files what it likes: a device without an end, a FIFO, a folder. Those count as empty,
 * and of a long file the beginning counts: its owner can always run something by a user's number.
 */
function readBounded(fd: number, path: string): string {
  const { mode } = statAt(fd, "");
  return (mode & S_IFMT) === S_IFREG ? readDescriptor(fd, path, fileMaximumBytes).toString() : "";
}

/** HOME is the user's, unless the image or the caller set it. */
function withHome(env: string[], user: ResolvedUser): string[] {
  return env.some((entry) => entry.startsWith("HOME=")) ? env : [...env, `HOME=${user.home}`];
}

/** A pseudo-terminal of the container's own devpts: its master goes to the monitor, its slave becomes 0, 1 and 2. */
function openTerminal(channel: number, user: ResolvedUser, { windowSize, isFirst }: ProgramRequest): void {
  const { masterFd, number } = openPty("/dev/pts/ptmx");
  const path = `/dev/pts/${number}`;
  const slave = open(path, O_RDWR | O_NOFOLLOW);
  if (windowSize) setWindowSize(slave, windowSize);
  unlessErrno(["EPERM", "EINVAL"], () => fchown(slave, user.uid, -1 >>> 0)); // one-id mode: there is no other owner
  if (isFirst) {
    close(open("/dev/console", O_CREAT | O_NOFOLLOW | O_RDWR, 0o600));
    mount(path, "/dev/console", "", MS_BIND);
  }
  setControllingTerminal(slave);
  for (const fd of [0, 1, 2]) duplicate(slave, fd);
  send(channel, { kind: "terminal" } satisfies ProgramReport, [masterFd]);
  close(masterFd);
  if (slave > 2) close(slave);
}

/** A pipe's inode belongs to who made it; /dev/stdout opens it anew, with the rights of the user. */
function giveStream(fd: number, user: ResolvedUser): void {
  if ((statAt(fd, "").mode & S_IFMT) !== S_IFIFO) return; // /dev/null is everybody's
  unlessErrno(["EPERM", "EINVAL"], () => fchown(fd, user.uid, user.gid));
}

function isClosed(fd: number): boolean {
  return (poll([{ fd, events: 0 }], 0)[0]! & POLLHUP) !== 0;
}

/** It must lie inside: getcwd would show `(unreachable)` (CVE-2024-21626). */
function enterWorkingDirectory(path: string): void {
  process.chdir(path);
  if (!process.cwd().startsWith("/")) throw new Error("it lies outside of the container");
}

/** Docker makes a missing working directory. */
function makeDirectories(path: string): void {
  const parts = path.split("/");
  for (let depth = 2; depth <= parts.length; depth++) {
    const sofar = parts.slice(0, depth).join("/");
    unlessErrno(["EEXIST", "EROFS"], () => mkdirAt(AT_FDCWD, sofar, 0o755));
  }
}

function dropBoundingSet(program: RuntimeProcess): void {
  const keep = new Set(program.capabilities.bounding.map(capabilityNumber));
  for (let capability = 0; capability < 64; capability++) {
    const present = inBoundingSet(capability);
    if (present === undefined) break; // past the kernel's last one
    if (present && !keep.has(capability)) dropFromBoundingSet(capability);
  }
}

/** An id that is not mapped is EINVAL: user_namespaces(7). */
function takeIds({ uid, gid }: ResolvedUser): void {
  try {
    setGid(gid);
    setUid(uid);
  } catch (cause) {
    if (!hasCode(cause, "EINVAL")) throw cause;
    const [last] = ["uid", "gid"].map((kind) => lastMapped(kind as "uid" | "gid")).toSorted((a, b) => a - b);
    throw new PodError("no such id here", {
      cause,
      hint: `ids go up to ${last}: /etc/subuid and /etc/subgid give you that many, and root can add more (usermod --add-subuids)`,
    });
  }
}

function lastMapped(kind: "uid" | "gid"): number {
  return Math.max(...mappedIds(kind).map(({ containerID, size }) => containerID + size)) - 1;
}

/** Root keeps the spec's sets; any other user has none in effect, as in Docker, unless they are ambient. */
function dropCapabilities(program: RuntimeProcess, user: ResolvedUser): void {
  const { effective, permitted, inheritable, ambient } = program.capabilities;
  const isRoot = user.uid === 0;
  clearAmbient();
  setCapabilities({
    effective: isRoot ? capabilityMask(effective) : capabilityMask(ambient),
    permitted: isRoot ? capabilityMask(permitted) : capabilityMask(ambient),
    inheritable: capabilityMask(inheritable),
  });
  for (const name of ambient) raiseAmbient(capabilityNumber(name));
}

// <asm-generic/resource.h>
const rlimits = [
  "CPU",
  "FSIZE",
  "DATA",
  "STACK",
  "CORE",
  "RSS",
  "NPROC",
  "NOFILE",
  "MEMLOCK",
  "AS",
  "LOCKS",
  "SIGPENDING",
  "MSGQUEUE",
  "NICE",
  "RTPRIO",
  "RTTIME",
];

function rlimitNumber(type: string): number {
  const number = rlimits.indexOf(type.replace(/^RLIMIT_/, ""));
  if (number === -1) throw new SyscallError("setrlimit", 22, type);
  return number;
}
