/** The processes of a container, found by their pid namespace: proc(5). */

import { PodError } from "../errors.ts";
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

/** Its children, while it lives. */
export function childrenOf(pid: number): number[] {
  let text = "";
  unlessErrno(["ENOENT", "ESRCH"], () => {
    text = readText(`/proc/${pid}/task/${pid}/children`);
  });
  return text.split(" ").filter(Boolean).map(Number);
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
 * Sends SIGSTOP to all of them, again until none is left that it has not reached: they may be forking. PID 1 comes last,
 * since it collects those that end. PodError where they are made faster than they can be stopped; then all go on.
 */
export function stopAll(initPid: number): void {
  const reached = new Set<number>([initPid]);
  for (const deadline = performance.now() + patienceMs; performance.now() < deadline; ) {
    const fresh = processesWith(initPid).filter((pid) => !reached.has(pid));
    for (const pid of fresh) {
      reached.add(pid);
      signalWith(initPid, pid, SIGSTOP);
    }
    if (fresh.length) continue;
    signalWith(initPid, initPid, SIGSTOP);
    if (processesWith(initPid).every((pid) => reached.has(pid))) return;
  }
  continueAll(initPid);
  throw new PodError("stop the container's processes: they make new ones faster than they can be stopped");
}

/** SIGCONT to all of them: what is stopped makes no new ones. */
export function continueAll(initPid: number): void {
  for (const pid of processesWith(initPid)) signalWith(initPid, pid, SIGCONT);
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
