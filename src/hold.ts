/** Holds a container's processes still for a while, by its monitor, which lets them go on when this process closes the conversation, or ends. */

import { Control } from "./control.ts";
import { isStill, processesOutside } from "./ns/processes.ts";
import type { Container } from "./storage/containers.ts";

const patienceMs = 2000; // a process in an uninterruptible call stops only after it

/** Returns when they stand still; what comes back lets them go on. Does nothing where the container does not run. */
export function hold({ record, state }: Container): () => void {
  const control = state.status === "running" ? Control.open(record.id) : undefined;
  if (!control || !state.init) return () => {};
  control.tell({ kind: "hold" });
  const answer = control.await("done");
  const isSignalled = answer !== "gone" && answer?.bySignal; // what is frozen stands still already
  const { init, cgroup } = state;
  const deadline = performance.now() + patienceMs;
  while (isSignalled && !processesOutside(init.pid, cgroup).every(isStill) && performance.now() < deadline) {
    Bun.sleepSync(1);
  }
  return () => control.close();
}
