/** Containers whose monitor was killed: the next command makes their records true. */

import { hasCode } from "./errors.ts";
import { sweepMembers } from "./membership.ts";
import { rewriteHosts } from "./name-files.ts";
import { removeCgroupOf, sweepCgroups } from "./ns/cgroup.ts";
import { POLLIN } from "./ns/constants.ts";
import { poll } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { pidfdOpen, pidfdSendSignal } from "./ns/sys/process.ts";
import { sweepNames } from "./storage/container-deletion.ts";
import {
  type ContainerState,
  isAlive,
  type ProcessIdentity,
  putState,
  withStartLock,
} from "./storage/container-state.ts";
import { type Container, listContainers, passOver, readContainer } from "./storage/containers.ts";
import { sweepTemporary } from "./storage/files.ts";
import { sweepLeases } from "./storage/leases.ts";
import { recordDeath } from "./storage/life-events.ts";
import { deleteContainerAndVolumes } from "./storage/volumes.ts";

/**
 * Makes records true whose monitor was killed: what it left running is ended, the exit is recorded, and a `--rm`
 * container goes; and what killed processes were making or deleting is swept. Commands that change something call it
 * first, and monitors at their end; in the user's namespace. Several may do so at once.
 */
export function repairContainers(): void {
  for (const container of listContainers(hasLostMonitor, passOver)) repairContainer(container);
  sweepCgroups();
  const networks = sweepMembers();
  if (networks.length) rewriteHosts(networks);
  sweepNames();
  sweepLeases();
  sweepTemporary();
}

/** The same for one. */
export function repairContainer({ record, state }: Container): void {
  if (!hasLostMonitor(state)) return;
  if (state.init) killProcess(state.init);
  removeCgroupOf(state.monitor!.pid, state.cgroup);
  if (record.autoRemove) removeEnded({ record, state });
  else withStartLock(() => isLost(record.id) && recordEnd(record.id));
}

function hasLostMonitor({ monitor }: ContainerState): boolean {
  return monitor !== undefined && !isAlive(monitor);
}

function removeEnded({ record, state }: Container): void {
  const deleteFiles = withStartLock(() => {
    if (!isLost(record.id)) return undefined;
    if (state.status === "exited" && !state.finished) recordDeath(record, state.exitCode);
    return deleteContainerAndVolumes(record);
  });
  deleteFiles?.();
}

/** Still so: another command may have repaired it, removed it, or given it a new monitor. */
function isLost(id: string): boolean {
  const container = readContainer(id);
  return container !== undefined && hasLostMonitor(container.state);
}

function recordEnd(id: string): void {
  try {
    const container = readContainer(id);
    if (!container) return; // removed meanwhile
    const { state } = container;
    const finished = state.status === "exited" ? (state.finished ?? new Date().toISOString()) : undefined;
    if (finished && !state.finished) recordDeath(container.record, state.exitCode);
    putState(id, { ...state, finished, monitor: undefined, init: undefined, cgroup: undefined });
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
}

/** SIGKILL to that very process, by pidfd: a reused pid is never hit. Returns when it has ended. */
export function killProcess(identity: ProcessIdentity): void {
  withProcess(identity, (pidfd) => {
    pidfdSendSignal(pidfd, 9);
    poll([{ fd: pidfd, events: POLLIN }], 10_000);
  });
}

/** Waits for that very process, ten seconds at most. */
export function waitForEnd(identity: ProcessIdentity, timeoutMs = 10_000): void {
  withProcess(identity, (pidfd) => poll([{ fd: pidfd, events: POLLIN }], timeoutMs));
}

/** SIGTERM to that very process. */
export function askToEnd(identity: ProcessIdentity): void {
  withProcess(identity, (pidfd) => pidfdSendSignal(pidfd, 15));
}

function withProcess(identity: ProcessIdentity, action: (pidfd: number) => void): void {
  unlessErrno(["ESRCH"], () => {
    const pidfd = pidfdOpen(identity.pid);
    try {
      if (isAlive(identity)) action(pidfd); // compared after opening: the pidfd is that process's
    } finally {
      close(pidfd);
    }
  });
}
