/** Containers whose monitor was killed: the next command makes their records true. */

import { POLLIN } from "./ns/constants.ts";
import { poll } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { pidfdOpen, pidfdSendSignal } from "./ns/sys/process.ts";
import { deleteContainer, isAlive, listContainers, type ProcessIdentity, putState } from "./storage/containers.ts";

/**
 * Makes records true whose monitor was killed: what it left running is ended, the exit is recorded, and a `--rm`
 * container goes. Commands that change something call it first, and monitors at their end; in the user's namespace.
 */
export function repairContainers(): void {
  for (const { record, state } of listContainers()) {
    const monitorAlive = state.monitor !== undefined && isAlive(state.monitor);
    if (monitorAlive || !state.monitor) continue;
    if (state.init) killProcess(state.init);
    if (record.autoRemove) deleteContainer(record)();
    else putState(record.id, { ...state, monitor: undefined, init: undefined });
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
