/** Containers whose monitor was killed: the next command makes their records true. */

import { hasCode } from "./errors.ts";
import { rewriteHosts } from "./name-files.ts";
import { POLLIN } from "./ns/constants.ts";
import { poll } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { pidfdOpen, pidfdSendSignal } from "./ns/sys/process.ts";
import {
  deleteContainer,
  isAlive,
  listContainers,
  type ProcessIdentity,
  putState,
  readContainer,
  sweepNames,
} from "./storage/containers.ts";
import { recordContainerEvent } from "./storage/events.ts";
import { sweepTemporary } from "./storage/files.ts";
import { sweepLeases } from "./storage/leases.ts";
import { sweepMembers } from "./storage/networks.ts";

/**
 * Makes records true whose monitor was killed: what it left running is ended, the exit is recorded, and a `--rm`
 * container goes; and what killed processes were making or deleting is swept. Commands that change something call it
 * first, and monitors at their end; in the user's namespace. Several may do so at once.
 */
export function repairContainers(): void {
  for (const { record, state } of listContainers()) {
    if (!state.monitor || isAlive(state.monitor)) continue;
    if (state.init) killProcess(state.init);
    if (record.autoRemove) deleteContainer(record)();
    else recordEnd(record.id);
  }
  const networks = sweepMembers();
  if (networks.length) rewriteHosts(networks);
  sweepNames();
  sweepLeases();
  sweepTemporary();
}

function recordEnd(id: string): void {
  try {
    const container = readContainer(id);
    if (!container) return; // removed meanwhile
    const { state } = container;
    const finished = state.status === "exited" ? (state.finished ?? new Date().toISOString()) : undefined;
    if (finished && !state.finished)
      recordContainerEvent("die", container.record, { exitCode: String(state.exitCode) });
    putState(id, { ...state, finished, monitor: undefined, init: undefined });
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
export function waitForEnd(identity: ProcessIdentity): void {
  withProcess(identity, (pidfd) => poll([{ fd: pidfd, events: POLLIN }], 10_000));
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
