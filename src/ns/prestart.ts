/**
 * The monitor's first acts, before the rest of it is loaded: the start stage's program start and the new user
 * namespace's maps are on the way to every container, and other processes work on both.
 */

import { spawnStage } from "./stage.ts";
import { growPipe, pipe, socketPair } from "./sys/descriptor.ts";
import { close } from "./sys/file.ts";
import { pidfdOpen, setChildSubreaper, setSid, setSignalMask } from "./sys/process.ts";
import { beginUserNamespace } from "./userns.ts";

/** The start stage with the container's pipes: its program start overlaps with all that the command still does. */
export interface PreparedStart {
  pid: number;
  pidfd: number;
  channel: number;
  stdin: number;
  stdout: number;
  stderr: number;
}

/** What is under way when the rest of the monitor is loaded. */
export interface Prepared {
  start: PreparedStart;
  /** Waits until this process is root of the user's namespace. Throws what went wrong. */
  enter(): void;
}

export function prepare(): Prepared {
  const start = prepareStart(); // outside: it joins the namespace itself, as setns(2) wants
  try {
    return { start, enter: beginUserNamespace() };
  } catch (failure) {
    return {
      start,
      enter() {
        throw failure;
      },
    };
  }
}

function prepareStart(): PreparedStart {
  setSid();
  setSignalMask("set", []); // the command holds signals for its program; stages and helpers are to hear them
  setChildSubreaper(); // init becomes the monitor's child when the start stage ends
  const [channel, remote] = socketPair("packets");
  const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
  for (const { writeFd } of [stdout, stderr]) growPipe(writeFd, 1 << 20); // fewer, larger chunks for the log
  const pid = spawnStage("__start", remote, { stdio: [stdin.readFd, stdout.writeFd, stderr.writeFd] });
  for (const fd of [remote, stdin.readFd, stdout.writeFd, stderr.writeFd]) close(fd);
  return { pid, pidfd: pidfdOpen(pid), channel, stdin: stdin.writeFd, stdout: stdout.readFd, stderr: stderr.readFd };
}
