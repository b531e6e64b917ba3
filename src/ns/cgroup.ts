/**
 * Control groups, version 2: cgroups(7). A container has one of its own where this process's own is delegated, which
 * means that its user may make others below it and start processes there. It serves as the freezer; limits are files of
 * it too. Its name is the monitor's pid, since it is made before it is known what will run.
 */

import { config } from "../config.ts";
import { SyscallError } from "../errors.ts";
import { O_DIRECTORY, O_PATH, O_RDONLY } from "./constants.ts";
import { close, listDirectory, open, readText, writeText } from "./sys/file.ts";
import { fork } from "./sys/fork.ts";
import { canWrite, existsSync, mkdirSync, rmdirSync } from "./sys/fs.ts";
import { unlessErrno } from "./sys/namespace.ts";
import { processId, startTimeOf } from "./sys/process.ts";

/** The directory of a container's control group, or why there can be none. */
export type CgroupPlan = { path: string; missing?: undefined } | { path?: undefined; missing: string };

/** What makeCgroup() would make for this monitor. */
export function planCgroup(monitorPid: number | "PID"): CgroupPlan {
  const own = cgroupOf("self");
  if (own === undefined) return { missing: "there is no cgroup v2 here" };
  if (config.isHostRoot) return { missing: "as real root pod makes none yet: its monitors are not the host's root" };
  const dir = mountPoint() + own;
  if (canWrite(dir) && canWrite(`${dir}/cgroup.procs`)) return { path: `${dir}/pod-${monitorPid}` };
  const hint = existsSync("/run/systemd/system")
    ? "; `systemd-run --user --scope -p Delegate=yes COMMAND` starts a command in one that is"
    : "";
  return { missing: `${dir} is not yours to divide${hint}` };
}

/** Systemd mounts it in the one place, or, beside version 1, in the other. */
function mountPoint(): string {
  return existsSync("/sys/fs/cgroup/cgroup.controllers") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
}

/** Below the mount point, `/user.slice/…`; empty at its top. Undefined where there is none, or none that is visible here. */
function cgroupOf(pid: number | "self"): string | undefined {
  let text = "";
  unlessErrno(["ENOENT", "ESRCH"], () => {
    text = readText(`/proc/${pid}/cgroup`);
  });
  const path = /^0::(.*)$/m.exec(text)?.[1];
  return path === undefined || path.startsWith("/..") ? undefined : path.replace(/\/$/, "");
}

/** Makes this monitor's. Undefined where there can be none: a container does without. */
function makeCgroup(monitorPid: number): string | undefined {
  const { path } = planCgroup(monitorPid);
  if (path === undefined) return undefined;
  const make = () => succeeds(() => mkdirSync(path));
  const isMade = make() || (rmdir(path) && make()); // an earlier process with this pid may have left one
  return isMade ? path : undefined;
}

/** fork(), or what takes its place, whose copy is born in a control group of its own where that can be: `cgroup`. */
export function forkInCgroup(child: () => number, namespaces: number, start = fork): { pid: number; cgroup?: string } {
  const path = makeCgroup(processId());
  const cgroup = path === undefined ? undefined : openCgroup(path);
  try {
    const pid = start(child, { namespaces, cgroup });
    if (path === undefined || !isOutsideCgroup(pid, path)) return { pid, cgroup: path };
    removeCgroup(path);
    return { pid };
  } catch (error) {
    if (path !== undefined) removeCgroup(path);
    throw error;
  } finally {
    if (cgroup !== undefined) close(cgroup);
  }
}

/** For fork(), whose copy is to be born in it; undefined where it is gone. */
export function openCgroup(path: string): number | undefined {
  let fd: number | undefined;
  succeeds(() => {
    fd = open(path, O_PATH | O_DIRECTORY);
  });
  return fd;
}

/** Whether the process is there, and neither in it nor below. */
export function isOutsideCgroup(pid: number, path: string): boolean {
  const [its, wanted] = [cgroupOf(pid), path.slice(mountPoint().length)];
  return its !== undefined && its !== wanted && !its.startsWith(`${wanted}/`);
}

const patienceMs = 2000; // a process in an uninterruptible call freezes after it, and does nothing before

/** Returns when its processes stand still. They can't notice it, nor keep it from happening. */
export function freezeCgroup(path: string): void {
  writeText(`${path}/cgroup.freeze`, "1");
  awaitEvent(path, "frozen 1", patienceMs);
}

export function thawCgroup(path: string): void {
  writeText(`${path}/cgroup.freeze`, "0");
}

/** Removes it, and what was made below it. The caller has ended its processes; the kernel may take a moment longer. */
export function removeCgroup(path: string): void {
  if (rmdir(path) || !existsSync(path)) return;
  succeeds(() => awaitEvent(path, "populated 0", patienceMs));
  removeEmpty(path);
}

/** That of a monitor that has been killed, perhaps before its record named it. With a pid that is in use again it is another's. */
export function removeCgroupOf(monitorPid: number, recorded?: string): void {
  if (startTimeOf(monitorPid) !== undefined) return;
  const path = recorded ?? planCgroup(monitorPid).path;
  if (path !== undefined) removeCgroup(path);
}

/** Removes those below this process's own that monitors left which were killed before a record named theirs. */
export function sweepCgroups(): void {
  const { path } = planCgroup("PID");
  if (path === undefined) return;
  const parent = path.slice(0, path.lastIndexOf("/"));
  for (const name of directoriesIn(parent)) {
    const pid = /^pod-(\d+)$/.exec(name)?.[1];
    if (pid && startTimeOf(Number(pid)) === undefined) removeEmpty(`${parent}/${name}`);
  }
}

/** Those with processes stay. */
function removeEmpty(path: string): void {
  if (rmdir(path)) return;
  succeeds(() => {
    for (const name of directoriesIn(path)) removeEmpty(`${path}/${name}`);
  });
  rmdir(path);
}

function directoriesIn(path: string): string[] {
  const fd = open(path, O_RDONLY | O_DIRECTORY);
  try {
    const entries = listDirectory(fd).filter(({ isDirectory }) => isDirectory);
    return entries.map(({ name }) => name);
  } finally {
    close(fd);
  }
}

function rmdir(path: string): boolean {
  return succeeds(() => rmdirSync(path));
}

/** What the kernel refuses here is an answer: a container does without. */
function succeeds(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (error instanceof SyscallError) return false;
    throw error;
  }
}

/** Until cgroup.events says so, or the time is over. */
function awaitEvent(path: string, event: string, timeoutMs: number): void {
  for (const deadline = performance.now() + timeoutMs; performance.now() < deadline; Bun.sleepSync(1)) {
    if (readText(`${path}/cgroup.events`).includes(event)) return;
  }
}
