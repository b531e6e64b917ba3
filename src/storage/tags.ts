/** Names that say which process made something, so that it can be swept once that process is gone. */

import { bootId, processId, startTimeOf } from "../ns/sys/process.ts";

let count = 0;
/** A program that starts itself anew stays the same process. */
const begun = Math.trunc(performance.timeOrigin).toString(36);

/** `<pid>-<start time>-<boot>-<program start>-<number>`: a name that no other process, alive or dead, has made. */
export function processTag(): string {
  count++;
  return `${processId()}-${startTimeOf(processId())}-${bootId().slice(0, 8)}-${begun}-${count}`;
}

/** Whether it is one, whoever made it. */
export function isTag(text: string): boolean {
  return /^\d+-\d+-[0-9a-f]{8}-[0-9a-z]+-\d+$/.test(text);
}

/** Whether the process that made this tag, or a name that begins with it, still runs. */
export function isOfLiveProcess(name: string): boolean {
  const [pid, startTime, boot] = name.split("-");
  return boot === bootId().slice(0, 8) && startTimeOf(Number(pid)) === Number(startTime);
}
