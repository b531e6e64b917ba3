/** Signals by name and number, as `kill -s`, `--stop-signal` and STOPSIGNAL take them: signal(7). */

import { UsageError } from "./errors.ts";

const names = (
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG " +
  "XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
).split(" ");
const [realtimeMin, realtimeMax] = [34, 64]; // as glibc counts them

/** `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`. Throws UsageError with Docker's text. */
export function signalNumber(text: string): number {
  const name = text.toUpperCase().replace(/^SIG/, "");
  if (/^\d+$/.test(name)) {
    const number = Number(name);
    if (number >= 1 && number <= realtimeMax) return number;
  }
  const index = names.indexOf(name);
  if (index !== -1) return index + 1;
  const [, end, offset = "0"] = /^RT(MIN|MAX)([+-]\d+)?$/.exec(name) ?? [];
  const number = (end === "MIN" ? realtimeMin : realtimeMax) + Number(offset);
  if (end && number >= realtimeMin && number <= realtimeMax) return number;
  throw new UsageError(`invalid signal: ${text}`);
}

/** For options: the text itself, where it names a signal. */
export function parseSignalName(text: string): string {
  signalNumber(text);
  return text;
}
