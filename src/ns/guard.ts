/** The guard stage: becomes a helper program that ends with the process that started it. */

import { closeOnExecFrom, execve, exitNow, setParentDeathSignal } from "./sys/process.ts";

/** `__guard PARENT-PID PROGRAM ARGUMENT…` */
export function runGuard([parentPid, program, ...args]: string[]): never {
  setParentDeathSignal(9);
  if (process.ppid !== Number(parentPid)) exitNow(1); // it ended before the signal was asked for
  closeOnExecFrom(3);
  execve(program!, [program!, ...args], []);
}
