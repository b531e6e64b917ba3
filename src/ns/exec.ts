/** One more process in a running container, for `exec`: made in copies of the command. */

import { hasCode } from "../errors.ts";
import type { RuntimeProcess } from "../spec.ts";
import { openCgroup } from "./cgroup.ts";
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  O_RDONLY,
} from "./constants.ts";
import { awaitProgram, receiveFromInit, receiveReport, tellInit } from "./handshake.ts";
import { becomeProgram, orReport, type ProgramReport } from "./program.ts";
import { send } from "./stage.ts";
import { socketPair } from "./sys/descriptor.ts";
import { close, fchmod, open, statAt } from "./sys/file.ts";
import { childrenOf, closeInherited, fork, setTitle, takeDescriptors } from "./sys/fork.ts";
import { ownerOf, parentOf, setns, unlessErrno } from "./sys/namespace.ts";
import { joinNewSessionKeyring, kill, setDumpable, setSid, setSignalMask, waitPid } from "./sys/process.ts";
import type { WindowSize } from "./sys/terminal.ts";
import { becomeRoot, ThreadsError } from "./userns.ts";

export interface ExecRequest {
  process: RuntimeProcess;
  /** As given, for the container's own passwd file. */
  user: string;
  windowSize?: WindowSize;
  /** Descriptors of the container's namespaces, in the order in which init sends them; the monitor has them. */
  namespaces: number[];
  /** What become the program's 0, 1 and 2: pipes; null is /dev/null. With a terminal it has that. */
  fds: (number | null)[];
  /** The directory of the container's control group, where it has one. */
  cgroup?: string;
  /** All is ready, and the program about to run. */
  onStart(): void;
  /** It has ended. Called in the process that waits for it, also where the caller has long gone. */
  onEnd(exitCode: number): void;
}

/** As init sends them after the user's, the pid and the network namespace, and before those of control groups and mounts. */
const kinds = [CLONE_NEWIPC, CLONE_NEWUTS];

/**
 * Starts it, and returns when it runs. `pid` is a process outside the container, which ends with the program and its exit
 * code (128 + signal where one ended it); `terminal` is the master of its terminal. The request's descriptors are closed.
 * Throws CommandError 126 or 127 where it can't be started, ThreadsError where no copy of this process could enter.
 */
export function startInContainer(request: ExecRequest): { pid: number; terminal: number | undefined } {
  for (const fd of request.fds) if (fd !== null) fchmod(fd, 0o666); // /dev/stdout opens a pipe anew, also where its owner is nobody inside
  const { pid, channel, terminal } = enterByCopy(request);
  for (const fd of new Set(request.fds)) if (fd !== null) close(fd);
  request.onStart();
  tellInit(channel, {});
  awaitProgram(channel, request.process.args[0]!);
  return { pid, terminal };
}

const copies = 5;
const patienceMs = 60_000; // while a commit freezes the container, the copy inside waits
const SIGKILL = 9;

/**
 * Where many start at once, one copy in some thousands gets threads from the engine before it has entered, is aborted by
 * it, or hangs: then another is made. Nothing of the program has run until the one that is "ready" is told to go on.
 */
function enterByCopy(request: ExecRequest): { pid: number; channel: number; terminal: number | undefined } {
  for (let count = 0; count < copies; count++) {
    const { pid, channel } = startCopy(request);
    const report = receiveReport(channel, patienceMs);
    if (report?.message.kind === "ready") return { pid, channel, terminal: undefined };
    if (report?.message.kind === "terminal") {
      receiveFromInit(channel); // "ready"
      return { pid, channel, terminal: report.fds[0] };
    }
    close(channel);
    for (const each of [...childrenOf(pid), pid]) unlessErrno(["ESRCH"], () => kill(each, SIGKILL)); // it may hang
    waitPid(pid, true);
  }
  throw new ThreadsError();
}

function startCopy(request: ExecRequest): { pid: number; channel: number } {
  const [channel, remote] = socketPair("packets");
  const pid = fork(() => {
    setSid();
    setSignalMask("set", []);
    takeDescriptors([null, null, null]);
    closeInherited([remote, ...request.namespaces, ...request.fds.filter((fd) => fd !== null)]);
    process.chdir("/");
    setTitle("pod exec");
    return join(remote, request);
  });
  close(remote);
  return { pid, channel };
}

/**
 * The user namespace comes first, for its root may join the others; who made it, or one that it is nested in, may join it
 * from outside (user_namespaces(7)). The pid namespace holds for children only, and comes at
 * the last moment: from then on this process can have no threads, and the engine, should it want one, aborts (clone(2), EINVAL).
 */
function join(channel: number, request: ExecRequest): number {
  let pid = 0;
  try {
    setDumpable(false); // nobody in the container reads this process's memory or descriptors through /proc
    const [user, pids, network, ...others] = request.namespaces as [number, number, number, ...number[]];
    const [cgroups, mounts] = others.splice(kinds.length) as [number, number];
    const cgroup = request.cgroup === undefined ? undefined : openCgroup(request.cgroup);
    const isForeign = !isOwn(network, "net") && !isSame(ownerOf(network), user);
    if (isForeign) enterForeignNetwork(network, user);
    enter(user, CLONE_NEWUSER);
    becomeRoot(false);
    if (!isForeign && !isOwn(network, "net")) enter(network, CLONE_NEWNET);
    for (const [index, fd] of others.entries()) enter(fd, kinds[index]!);
    pid = fork(() => runProgram(channel, [cgroups, mounts], request), {
      atLast: () => setns(pids, CLONE_NEWPID, "the container's pid namespace"),
      cgroup,
    });
  } catch (error) {
    if (error instanceof ThreadsError || hasCode(error, "EINVAL")) {
      send(channel, { kind: "threads" } satisfies ProgramReport);
      return 1;
    }
    return orReport(channel, () => {
      throw error;
    });
  }
  close(channel); // the other descriptors close with this process, which ends with the program
  const { code, signal } = waitPid(pid, true)!;
  const exitCode = signal ? 128 + signal : code;
  request.onEnd(exitCode);
  return exitCode;
}

/** Of another container: its owner is none of ours, but the user's namespace has power over both. */
function enterForeignNetwork(network: number, user: number): void {
  const parent = parentOf(user);
  if (!isOwn(parent, "user")) setns(parent, CLONE_NEWUSER, "the user's namespace");
  close(parent);
  enter(network, CLONE_NEWNET);
}

/** The host's, with --network host, is this process's too. */
function isOwn(fd: number, name: "net" | "user"): boolean {
  return isSame(open(`/proc/self/ns/${name}`, O_RDONLY), fd);
}

/** `fd` is closed. */
function isSame(fd: number, other: number): boolean {
  try {
    return statAt(fd, "").inode === statAt(other, "").inode;
  } finally {
    close(fd);
  }
}

function enter(fd: number, kind: number): void {
  setns(fd, kind, "the container's namespaces");
  close(fd);
}

function runProgram(channel: number, [cgroups, mounts]: [number, number], request: ExecRequest): never {
  return orReport(channel, (at) => {
    takeDescriptors(request.fds);
    enter(cgroups, CLONE_NEWCGROUP); // not before this process is in its cgroup: from inside, none outside can be left
    enter(mounts, CLONE_NEWNS); // last: this process's own /proc is out of sight then
    setSid();
    unlessErrno(["EPERM", "ENOSYS", "EDQUOT"], joinNewSessionKeyring);
    const ready = () => send(channel, { kind: "ready" } satisfies ProgramReport);
    becomeProgram(channel, { ...request, isFirst: false, reaper: false }, at, ready);
  });
}
