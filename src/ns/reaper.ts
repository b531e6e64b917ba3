/** `--init`: PID 1 stays pod, reaps orphans and forwards signals; the program is its child. */

import { POLLIN } from "./constants.ts";
import { poll, readSignal, signalFd } from "./sys/descriptor.ts";
import { close } from "./sys/file.ts";
import { fork } from "./sys/fork.ts";
import { exitNow, kill, setSignalMask, waitAny } from "./sys/process.ts";

const SIGCHLD = 17;
/** Signals that a person or another process sends; those of a fault of our own (SEGV …) stay as they are. */
const forwarded = [1, 2, 3, 10, 12, 14, 15, 18, 20, 21, 22, 28];

/** `execute` becomes the program in a child. Ends with the program's exit code, or 128 + signal. */
export function runReaper(channel: number, execute: () => never): never {
  setSignalMask("set", [SIGCHLD, ...forwarded]);
  const child = fork(execute);
  close(channel); // the child's end closes when it has become the program
  const signals = signalFd([SIGCHLD, ...forwarded]);
  reap(child); // one that has ended already
  for (;;) {
    poll([{ fd: signals, events: POLLIN }], -1);
    for (let info = readSignal(signals); info; info = readSignal(signals)) {
      if (info.signal === SIGCHLD) reap(child);
      else if (!info.fromKernel) kill(child, info.signal); // the terminal's own went to the whole foreground group
    }
  }
}

/** Collects every dead child; ends when the program is among them. */
function reap(program: number): void {
  for (let dead = waitAny(); dead; dead = waitAny()) {
    if (dead.pid === program) exitNow(dead.signal ? 128 + dead.signal : dead.code);
  }
}
