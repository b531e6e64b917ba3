/** The monitor's first act, before the rest of it is loaded: the start stage's program start is on the way to every container. */

import { spawnStage } from "./stage.ts";
import { growPipe, pipe, socketPair } from "./sys/descriptor.ts";
import { close } from "./sys/file.ts";
import { setChildSubreaper, setSid } from "./sys/process.ts";

/** The start stage with the container's pipes: its program start overlaps with all that the command still does. */
export interface PreparedStart {
  pid: number;
  channel: number;
  stdin: number;
  stdout: number;
  stderr: number;
}

export function prepareStart(): PreparedStart {
  setSid();
  setChildSubreaper(); // init becomes the monitor's child when the start stage ends
  const [channel, remote] = socketPair("packets");
  const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
  for (const { writeFd } of [stdout, stderr]) growPipe(writeFd, 1 << 20); // fewer, larger chunks for the log
  const pid = spawnStage("__start", remote, { stdio: [stdin.readFd, stdout.writeFd, stderr.writeFd] });
  for (const fd of [remote, stdin.readFd, stdout.writeFd, stderr.writeFd]) close(fd);
  return { pid, channel, stdin: stdin.writeFd, stdout: stdout.readFd, stderr: stderr.readFd };
}
