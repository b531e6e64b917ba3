/**
 * The signals of an attached run go to its program. A mask belongs to a thread and to those it starts, so they are
 * blocked while there is one thread only: a signal that some thread of the engine lets in would end this process.
 */

import { readSignal, signalFd } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { kill, setSignalMask } from "./ns/sys/process.ts";

export const SIGWINCH = 28;
/** All that a person or a service manager sends; not CHLD, PIPE and URG, as in Docker, nor those of a fault. */
export const proxied = [1, 2, 3, 10, 12, 14, 15, 18, 21, 22];
/** Those that end a process which does nothing about them. */
export const ending = [1, 2, 3, 10, 12, 14, 15];
const lookEveryMs = 50;

/** To be called before anything that starts threads. */
export function holdSignals(): void {
  setSignalMask("block", [...proxied, SIGWINCH]);
}

/** For a run that nobody attaches to. */
export function releaseSignals(): void {
  setSignalMask("unblock", [...proxied, SIGWINCH]);
}

/** While there is no program yet, a signal that came or comes ends this process as if it were not held. */
export async function endedBySignals<T>(action: Promise<T>): Promise<T> {
  const signals = signalFd(ending);
  const look = () => {
    const signal = readSignal(signals)?.signal;
    if (!signal) return;
    setSignalMask("unblock", [signal]);
    kill(process.pid, signal);
  };
  const timer = setInterval(look, lookEveryMs);
  try {
    return await action;
  } finally {
    clearInterval(timer);
    close(signals);
  }
}
