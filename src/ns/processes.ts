/** The processes of a container, found by their pid namespace: proc(5). */

import { PodError } from "../errors.ts";
import { freezeCgroup, isOutsideCgroup, thawCgroup } from "./cgroup.ts";
import { O_DIRECTORY, O_RDONLY } from "./constants.ts";
import { close, listDirectory, open, readlinkAt, readText } from "./sys/file.ts";
import { unlessErrno } from "./sys/namespace.ts";
import { pidfdOpen, pidfdSendSignal } from "./sys/process.ts";

/** Those that run in the pid namespace of the process `initPid`, that one first. */
export function processesWith(initPid: number): number[] {
  return withProc((proc) => {
    const namespace = pidNamespace(proc, initPid);
    const pids = listDirectory(proc)
      .map(({ name }) => Number(name))
      .filter((pid) => pid > 0 && pid !== initPid && pidNamespace(proc, pid) === namespace);
    return namespace === undefined ? [initPid] : [initPid, ...pids];
  });
}

function withProc<T>(action: (proc: number) => T): T {
  const proc = open("/proc", O_RDONLY | O_DIRECTORY);
  try {
    return action(proc);
  } finally {
    close(proc);
  }
}

/** Undefined where it has ended, or is another user's. */
function pidNamespace(proc: number, pid: number): string | undefined {
  let link: string | undefined;
  unlessErrno(["ENOENT", "ESRCH", "EACCES", "EPERM"], () => {
    link = readlinkAt(proc, `${pid}/ns/pid`);
  });
  return link;
}

const SIGCONT = 18;
const SIGSTOP = 19;
const patienceMs = 2000;

/**
 * Stops all of them where they stand: those in the container's control group by its freezer, all others by SIGSTOP.
 * Returns whether there were others.
 */
export function stopAll(initPid: number, cgroup: string | undefined): boolean {
  if (cgroup !== undefined) freezeCgroup(cgroup);
  try {
    return signalStop(initPid, cgroup);
  } catch (error) {
    continueAll(initPid, cgroup);
    throw error;
  }
}

/** SIGCONT goes to all that have got SIGSTOP: what is stopped makes no new ones. Returns whether there were any. */
export function continueAll(initPid: number, cgroup: string | undefined): boolean {
  const others = processesOutside(initPid, cgroup);
  for (const pid of others) signalWith(initPid, pid, SIGCONT);
  if (cgroup !== undefined) thawCgroup(cgroup);
  return others.length > 0;
}

/** All, where the container has no control group; else those that `exec` could not start in it, since it was another session's. */
export function processesOutside(initPid: number, cgroup: string | undefined): number[] {
  return processesWith(initPid).filter((pid) => cgroup === undefined || isOutsideCgroup(pid, cgroup));
}

/**
 * SIGSTOP, again until none is left that it has not reached: they may be forking. PID 1 comes last, since it collects
 * those that end. PodError where they are made faster than they can be stopped.
 */
function signalStop(initPid: number, cgroup: string | undefined): boolean {
  const reached = new Set<number>();
  const stop = (pids: number[]) => {
    const fresh = pids.filter((pid) => !reached.has(pid));
    for (const pid of fresh) {
      reached.add(pid);
      signalWith(initPid, pid, SIGSTOP);
    }
    return fresh.length > 0;
  };
  for (const deadline = performance.now() + patienceMs; performance.now() < deadline; ) {
    const pids = processesOutside(initPid, cgroup);
    if (!stop(pids.filter((pid) => pid !== initPid)) && !stop(pids)) return reached.size > 0;
  }
  throw new PodError("stop the container's processes: they make new ones faster than they can be stopped");
}

/** Looked at after opening: a later process with this pid is none of them. */
function signalWith(initPid: number, pid: number, signal: number): void {
  unlessErrno(["ESRCH"], () => {
    const pidfd = pidfdOpen(pid);
    try {
      const isOne = withProc((proc) => pidNamespace(proc, pid) === pidNamespace(proc, initPid));
      if (isOne) pidfdSendSignal(pidfd, signal);
    } finally {
      close(pidfd);
    }
  });
}

/** Whether a process does nothing more until a signal: stopped, traced, a zombie, or gone. The states are those of proc(5). */
export function isStill(pid: number): boolean {
  let state = "X";
  unlessErrno(["ENOENT", "ESRCH"], () => {
    const stat = readText(`/proc/${pid}/stat`);
    state = stat[stat.lastIndexOf(")") + 2] ?? "";
  });
  return ["T", "t", "Z", "X"].includes(state);
}
