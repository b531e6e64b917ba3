/** `--init`: PID 1 stays pod, reaps orphans and forwards signals; the program is its child. */

import { CommandError } from "../errors.ts";
import { POLLIN } from "./constants.ts";
import { channelFd } from "./stage.ts";
import { poll, readSignal, signalFd } from "./sys/descriptor.ts";
import { close } from "./sys/file.ts";
import { exitNow, kill, setSignalMask, waitAny } from "./sys/process.ts";

const SIGCHLD = 17;
/** Signals that a person or another process sends; those of a fault of our own (SEGV …) stay as they are. */
const forwarded = [1, 2, 3, 10, 12, 14, 15, 18, 20, 21, 22, 28];

/** Runs the program and ends with its exit code, or 128 + signal. */
export function runReaper(path: string, args: string[], env: string[]): never {
  const child = spawnProgram(path, args, env);
  setSignalMask("set", [SIGCHLD, ...forwarded]);
  const signals = signalFd([SIGCHLD, ...forwarded]);
  close(channelFd); // tells the monitor that the program runs, so signals may come from now on
  reap(child); // one that ended before the mask was set
  for (;;) {
    poll([{ fd: signals, events: POLLIN }], -1);
    for (let info = readSignal(signals); info; info = readSignal(signals)) {
      if (info.signal === SIGCHLD) reap(child);
      else if (!info.fromKernel) kill(child, info.signal); // the terminal's own went to the whole foreground group
    }
  }
}

function spawnProgram(path: string, args: string[], env: string[]): number {
  const environment = Object.fromEntries(
    env.map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  );
  try {
    return Bun.spawn([path, ...args.slice(1)], {
      argv0: args[0],
      env: environment,
      stdio: ["inherit", "inherit", "inherit"],
    }).pid;
  } catch (error) {
    throw new CommandError(`exec: "${args[0]}": ${(error as Error).message}`, 126);
  }
}

/** Collects every dead child; ends when the program is among them. */
function reap(program: number): void {
  for (let dead = waitAny(); dead; dead = waitAny()) {
    if (dead.pid === program) exitNow(dead.signal ? 128 + dead.signal : dead.code);
  }
}
