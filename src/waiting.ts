/** A monitor that waits to be told what to run. It loads little, so that it can be started before all else. */

import { spawnStage } from "./ns/stage.ts";
import { socketPair } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";

export interface WaitingMonitor {
  pid: number;
  /** The command's end of the monitor's socket. When it closes without a word, the monitor ends. */
  fd: number;
}

/** Its program start, and that of the stage after it, overlap with the search for the image. */
export function startMonitor(): WaitingMonitor {
  const [fd, remote] = socketPair("stream");
  const pid = spawnStage("__monitor", remote);
  close(remote);
  return { pid, fd };
}

let early: WaitingMonitor | undefined;

/** For a command that will run a container, before it knows which one. */
export function startMonitorEarly(): void {
  early = startMonitor();
}

/** The monitor that was started early, else a new one. */
export function takeMonitor(): WaitingMonitor {
  const monitor = early ?? startMonitor();
  early = undefined;
  return monitor;
}
