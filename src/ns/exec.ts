/** One more process in a running container, for `exec`: made in copies of the command. */

import type { RuntimeProcess } from "../spec.ts";
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
} from "./constants.ts";
import { becomeProgram, orReport, type ProgramReport } from "./program.ts";
import { send } from "./stage.ts";
import { socketPair } from "./sys/descriptor.ts";
import { close } from "./sys/file.ts";
import { closeInherited, fork, setTitle, takeDescriptors } from "./sys/fork.ts";
import { setns, unlessErrno } from "./sys/namespace.ts";
import { joinNewSessionKeyring, setDumpable, setSid, setSignalMask, waitPid } from "./sys/process.ts";
import type { WindowSize } from "./sys/terminal.ts";
import { becomeRoot, enterUserNamespace } from "./userns.ts";

export interface ExecRequest {
  process: RuntimeProcess;
  /** As given, for the container's own passwd file. */
  user: string;
  windowSize?: WindowSize;
  /** Descriptors of the container's namespaces, in the order in which init sends them; the monitor has them. */
  namespaces: number[];
  /** What become the program's 0, 1 and 2; null is /dev/null. With a terminal it has that. */
  fds: (number | null)[];
}

/** As init sends them: the user namespace first, for its root may join the others. The mounts come last. */
const kinds = [CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP];

/**
 * Starts it. `pid` is a process outside the container, which ends with the program and its exit code (128 + signal where
 * one ended it); `channel` speaks as init does: handshake.ts.
 */
export function startInContainer(request: ExecRequest): { pid: number; channel: number } {
  const [channel, remote] = socketPair("packets");
  const pid = fork(() => {
    setSid();
    setSignalMask("set", []);
    takeDescriptors(request.fds);
    closeInherited([remote, ...request.namespaces]);
    process.chdir("/");
    setTitle("pod exec");
    return join(remote, request);
  });
  close(remote);
  return { pid, channel };
}

function join(channel: number, request: ExecRequest): number {
  let pid = 0;
  try {
    enterUserNamespace(); // the container's is nested in it: only its root may join
    setDumpable(false); // nobody in the container reads this process's memory or descriptors through /proc
    const mounts = request.namespaces.at(-1)!;
    request.namespaces.slice(0, -1).forEach((fd, index) => {
      enter(fd, kinds[index]!);
      if (index === 0) becomeRoot(false);
    });
    pid = fork(() => runProgram(channel, mounts, request)); // the first in the pid namespace: pid_namespaces(7)
  } catch (error) {
    return orReport(channel, () => {
      throw error;
    });
  }
  close(channel);
  const { code, signal } = waitPid(pid, true)!;
  return signal ? 128 + signal : code;
}

function enter(fd: number, kind: number): void {
  setns(fd, kind, "the container's namespaces");
  close(fd);
}

function runProgram(channel: number, mounts: number, request: ExecRequest): never {
  return orReport(channel, (at) => {
    enter(mounts, CLONE_NEWNS); // last: this process's own /proc is out of sight then
    setSid();
    unlessErrno(["EPERM", "ENOSYS", "EDQUOT"], joinNewSessionKeyring);
    const ready = () => send(channel, { kind: "ready" } satisfies ProgramReport);
    becomeProgram(channel, { ...request, isFirst: false, reaper: false }, at, ready);
  });
}
