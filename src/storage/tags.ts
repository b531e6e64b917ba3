/** Names that say which process made something, so that it can be swept once that process is gone. */

import { bootId, processId, startTimeOf } from "../ns/sys/process.ts";

let count = 0;

/** `<pid>-<start time>-<boot>-<number>`: a name that no other process, alive or dead, has made. */
export function processTag(): string {
  count++;
  return `${processId()}-${startTimeOf(processId())}-${bootId().slice(0, 8)}-${count}`;
}

/** Whether the process that made this tag, or a name that begins with it, still runs. */
export function isOfLiveProcess(name: string): boolean {
  const [pid, startTime, boot] = name.split("-");
  return boot === bootId().slice(0, 8) && startTimeOf(Number(pid)) === Number(startTime);
}
