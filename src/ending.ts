/** Ending a container. Its monitor is asked until it has heard: between two runs of its restart policy it hears nobody. */

import { Control } from "./control.ts";
import { killProcess } from "./repair.ts";
import { isAlive, withStartLock } from "./storage/container-state.ts";
import { type Container, type ContainerRecord, readContainer } from "./storage/containers.ts";

const SIGKILL = 9;
const patienceMs = 10_000;
const lookEveryMs = 5;

/**
 * Sends the signal, and SIGKILL when the time is over (-1: never). Returns when the container has ended and its restart
 * policy lets it rest; whether there was anything to end. A monitor that can't be asked to kill is killed itself.
 */
export function endContainer(id: string, signal: number, timeoutMs: number): boolean {
  let wasActive = false;
  let deadline = timeoutMs < 0 ? undefined : performance.now() + timeoutMs;
  for (let container = readContainer(id); container && isActive(container); container = readContainer(id)) {
    wasActive = true;
    const { init, monitor } = container.state;
    const control = Control.open(id);
    if (!control && signal === SIGKILL) killProcess(init ?? monitor!);
    else if (!control) Bun.sleepSync(lookEveryMs);
    else if (!askToEnd(control, signal, deadline)) {
      if (signal === SIGKILL) killProcess(monitor!);
      signal = SIGKILL;
      deadline = performance.now() + patienceMs;
    }
  }
  return wasActive;
}

/** False where the time is over. */
function askToEnd(control: Control, signal: number, deadline: number | undefined): boolean {
  try {
    control.tell({ kind: "stop", signal });
    const restMs = deadline === undefined ? -1 : Math.max(0, deadline - performance.now());
    return control.await("exited", restMs) !== undefined;
  } finally {
    control.close();
  }
}

/** Whether its monitor runs the program, or may do so without being asked. */
export function isActive({ record, state }: Container): boolean {
  const { status, starting, monitor } = state;
  if (!monitor || !isAlive(monitor)) return false;
  return starting || status === "running" || mayRunAgain({ record, state });
}

function mayRunAgain({ record, state }: Container): boolean {
  return record.restart.name !== "no" && state.status === "exited" && !state.stopped;
}

/** Deletes a container by `deletion`; false where it runs, or another command just starts it. */
export function deleteAtRest(id: string, deletion: (record: ContainerRecord) => () => void): boolean {
  const deleteFiles = withStartLock(() => {
    const container = readContainer(id);
    if (!container) return () => {}; // another command was quicker
    return isActive(container) ? undefined : deletion(container.record);
  });
  deleteFiles?.();
  return deleteFiles !== undefined;
}

/** The container once its monitor has decided whether it runs again. Undefined where it is gone. */
export function readDecided(id: string): Container | undefined {
  for (;;) {
    const container = readContainer(id);
    if (!container || !isActive(container) || !mayRunAgain(container) || container.state.restarting) return container;
    Bun.sleepSync(lookEveryMs);
  }
}
