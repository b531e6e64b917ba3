/**
 * The init stage: PID 1 of a new container. It turns an OCI spec into this process's own state, step by step, and
 * becomes the user's program. Synchronous throughout: the engine's I/O threads would keep the old mount namespace.
 */

import { formatError, hintOf, SyscallError } from "../errors.ts";
import type { RuntimeSpec } from "../spec.ts";
import { capabilityMask, capabilityNumber } from "./capabilities.ts";
import { executeInContainer, findCommand } from "./command.ts";
import {
  AT_FDCWD,
  CLONE_NEWCGROUP,
  CLONE_NEWNET,
  MS_BIND,
  MS_PRIVATE,
  MS_REC,
  O_CREAT,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  POLLHUP,
  RESOLVE_IN_ROOT,
  S_IFIFO,
  S_IFMT,
} from "./constants.ts";
import { runReaper } from "./reaper.ts";
import { enterRootfs } from "./rootfs.ts";
import { receive, type StageFailure, send } from "./stage.ts";
import { poll } from "./sys/descriptor.ts";
import { close, duplicate, fchown, mkdirAt, open, openAt2, readDescriptor, statAt } from "./sys/file.ts";
import { mount, setDomainname, setHostname, unlessErrno, unshare } from "./sys/namespace.ts";
import {
  clearAmbient,
  dropFromBoundingSet,
  exitNow,
  inBoundingSet,
  joinNewSessionKeyring,
  raiseAmbient,
  setCapabilities,
  setDumpable,
  setGid,
  setGroups,
  setKeepCapabilities,
  setNoNewPrivs,
  setParentDeathSignal,
  setRlimit,
  setSid,
  setUid,
  setUmask,
} from "./sys/process.ts";
import { openPty, setControllingTerminal, setInterfaceUp, setWindowSize, type WindowSize } from "./sys/terminal.ts";
import { type ResolvedUser, resolveUser } from "./user.ts";
import { becomeRoot } from "./userns.ts";

/** Monitor → init, first: the root file system is mounted, and this is what will run. */
export interface InitRequest {
  spec: RuntimeSpec;
  /** The user as given, for the container's own passwd file. */
  user: string;
  /** PID 1 reaps and forwards signals, and the program is its child. */
  reaper: boolean;
  windowSize?: WindowSize;
}

/** Init → monitor. After "ready" it waits for one more message; then it becomes the program, and the channel closes. */
export type InitReport =
  | { kind: "namespaces" } // its user and its network namespace are attached
  | { kind: "terminal" } // the master is attached: SCM_RIGHTS
  | { kind: "ready" }
  | { kind: "failed"; failure: StageFailure };

/** Runs the stage. Descriptors 0, 1 and 2 are the container's standard streams. */
export function runInit(channel: number): never {
  setUmask(0o022); // the caller's own is not to close what init makes: mount points, the working directory
  let step = "";
  const at = (name: string) => {
    step = name;
  };
  try {
    const request = receive<InitRequest>(channel)?.message;
    if (!request) exitNow(1); // the command found nothing to run
    initialise(channel, request, at);
  } catch (error) {
    const { exitCode } = error as { exitCode?: number };
    const failure: StageFailure = { step, message: formatError(error), hint: hintOf(error), exitCode };
    send(channel, { kind: "failed", failure } satisfies InitReport);
    exitNow(exitCode ?? 1);
  }
}

/** The order is the design: each step needs what stands above it, or must come before what stands below. */
function initialise(channel: number, request: InitRequest, at: (step: string) => void): never {
  const { spec } = request;
  const newNetwork = spec.linux.namespaces.some(({ type, path }) => type === "network" && !path);

  at("become root of the container's user namespace");
  becomeRoot();

  at("make the network namespace");
  if (newNetwork) unshare(CLONE_NEWNET, "new network namespace");
  sendNamespaces(channel);
  setDumpable(false); // nobody inside reads this process's memory or descriptors through /proc

  at("leave the monitor's mounts");
  mount("none", "/", "", MS_REC | MS_PRIVATE); // the root file system has come by propagation

  at("leave the host's session");
  setSid();
  unlessErrno(["EPERM", "ENOSYS", "EDQUOT"], joinNewSessionKeyring); // best effort, as runc: some seccomp filters forbid it

  at("make the cgroup namespace");
  unshare(CLONE_NEWCGROUP, "new cgroup namespace"); // after the process is in its cgroup, before /sys/fs/cgroup is mounted

  at("set the host name");
  if (spec.hostname) setHostname(spec.hostname);
  if (spec.domainname) setDomainname(spec.domainname);

  if (newNetwork) {
    at("set the loopback interface up");
    setInterfaceUp("lo");
  }

  enterRootfs(spec, at);

  at("find the user");
  const user = resolveUser(request.user, readInRoot("/etc/passwd"), readInRoot("/etc/group"));
  const env = withHome(spec.process.env, user);

  if (spec.process.terminal) {
    at("open the terminal");
    openTerminal(channel, user, request.windowSize);
  } else {
    at("hand over the standard streams");
    for (const fd of [0, 1, 2]) giveStream(fd, user); // or `-u 1000` can't open /dev/stdout
  }

  at(`working directory ${spec.process.cwd}`);
  enterWorkingDirectory(spec.process.cwd);

  send(channel, { kind: "ready" } satisfies InitReport);
  if (!receive(channel)) exitNow(1); // the monitor is gone

  at("set resource limits");
  for (const { type, soft, hard } of spec.process.rlimits) setRlimit(rlimitNumber(type), soft, hard);

  at(`become user ${user.uid}:${user.gid}`);
  setUmask(spec.process.user.umask ?? 0o022);
  dropBoundingSet(spec); // needs CAP_SETPCAP, so before the others go
  unlessErrno(["EPERM"], () => setGroups(user.additionalGids)); // one-id mode denies it, and has no groups to set
  setGid(user.gid);
  setKeepCapabilities(true); // a change of uid from 0 would drop them all: capabilities(7)
  setUid(user.uid);
  setKeepCapabilities(false);
  dropCapabilities(spec, user);
  if (spec.process.noNewPrivileges) setNoNewPrivs();

  setParentDeathSignal(9); // after setuid, which clears it
  if (isClosed(channel)) exitNow(1); // the monitor was killed before that

  at("exec");
  const command = findCommand(spec.process.args, env);
  const execute = () => executeInContainer(channel, command, spec.process.args, env);
  return request.reaper ? runReaper(channel, execute) : execute();
}

/** For slirp4netns, which joins them; and while this process may still be looked at. */
function sendNamespaces(channel: number): void {
  const namespaces = ["user", "net"].map((name) => open(`/proc/self/ns/${name}`, O_RDONLY));
  send(channel, { kind: "namespaces" } satisfies InitReport, namespaces);
  for (const fd of namespaces) close(fd);
}

/** A file of the container, by a path that stays in its root (it may be a symlink); empty where there is none. */
function readInRoot(path: string): string {
  const root = open("/", O_PATH);
  try {
    let text = "";
    unlessErrno(["ENOENT", "ENOTDIR", "EACCES"], () => {
      const fd = openAt2(root, path, O_RDONLY, RESOLVE_IN_ROOT);
      try {
        text = readDescriptor(fd).toString();
      } finally {
        close(fd);
      }
    });
    return text;
  } finally {
    close(root);
  }
}

/** HOME is the user's, unless the image or the caller set it. */
function withHome(env: string[], user: ResolvedUser): string[] {
  return env.some((entry) => entry.startsWith("HOME=")) ? env : [...env, `HOME=${user.home}`];
}

/** A pseudo-terminal of the container's own devpts: its master goes to the monitor, its slave becomes 0, 1 and 2. */
function openTerminal(channel: number, user: ResolvedUser, size: WindowSize | undefined): void {
  const { masterFd, number } = openPty("/dev/pts/ptmx");
  const path = `/dev/pts/${number}`;
  const slave = open(path, O_RDWR | O_NOFOLLOW);
  if (size) setWindowSize(slave, size);
  unlessErrno(["EPERM", "EINVAL"], () => fchown(slave, user.uid, -1 >>> 0)); // one-id mode: there is no other owner
  close(open("/dev/console", O_CREAT | O_NOFOLLOW | O_RDWR, 0o600));
  mount(path, "/dev/console", "", MS_BIND);
  setControllingTerminal(slave);
  for (const fd of [0, 1, 2]) duplicate(slave, fd);
  send(channel, { kind: "terminal" } satisfies InitReport, [masterFd]);
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

/** Made where it is missing, as Docker does; and it must lie inside: getcwd would show `(unreachable)` (CVE-2024-21626). */
function enterWorkingDirectory(path: string): void {
  makeDirectories(path);
  process.chdir(path);
  if (!process.cwd().startsWith("/")) throw new Error("it lies outside of the container");
}

function makeDirectories(path: string): void {
  const parts = path.split("/");
  for (let depth = 2; depth <= parts.length; depth++) {
    const sofar = parts.slice(0, depth).join("/");
    unlessErrno(["EEXIST", "EROFS"], () => mkdirAt(AT_FDCWD, sofar, 0o755));
  }
}

function dropBoundingSet(spec: RuntimeSpec): void {
  const keep = new Set(spec.process.capabilities.bounding.map(capabilityNumber));
  for (let capability = 0; capability < 64; capability++) {
    const present = inBoundingSet(capability);
    if (present === undefined) break; // past the kernel's last one
    if (present && !keep.has(capability)) dropFromBoundingSet(capability);
  }
}

/** Root keeps the spec's sets; any other user has none in effect, as in Docker, unless they are ambient. */
function dropCapabilities(spec: RuntimeSpec, user: ResolvedUser): void {
  const { effective, permitted, inheritable, ambient } = spec.process.capabilities;
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
