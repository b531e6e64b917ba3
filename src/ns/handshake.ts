/** The monitor's side of what it and a container's first process say to each other. */

import { hasCode, PodError, SyscallError } from "../errors.ts";
import { toCommandError } from "./command.ts";
import { POLLIN } from "./constants.ts";
import type { InitReport, InitRequest } from "./init.ts";
import { receive, receivePacket, type StageFailure, send } from "./stage.ts";
import { poll } from "./sys/descriptor.ts";

/** What takes some milliseconds. */
const patienceMs = 10_000;

/** Sends what comes first, or the word to go on. Throws what init failed with, or that it has ended. */
export function tellInit(channel: number, message: InitRequest | object): void {
  try {
    send(channel, message);
  } catch (error) {
    if (!hasCode(error, "EPIPE", "ECONNRESET")) throw error;
    for (;;) receiveFromInit(channel); // the last of its reports says why
  }
}

/** Whether it says so in time that it waits for its request: a copy may hang (ns/sys/fork.ts). Throws where it has ended. */
export function initWaits(channel: number): boolean {
  const hasSpoken = poll([{ fd: channel, events: POLLIN }], patienceMs)[0] !== 0;
  if (hasSpoken) receiveFromInit(channel);
  return hasSpoken;
}

/** Init's next report, with the descriptors that came with it. Throws its failure, or that it has ended. */
export function receiveFromInit(channel: number): { message: InitReport; fds: number[] } {
  const report = receiveReport(channel);
  if (!report) throw initEnded();
  return report;
}

/** The same; undefined where it has ended, or does not answer in time. */
export function receiveReport(channel: number, timeoutMs = -1): { message: InitReport; fds: number[] } | undefined {
  if (poll([{ fd: channel, events: POLLIN }], timeoutMs)[0] === 0) return undefined;
  const report = receive<InitReport>(channel);
  if (report?.message.kind === "failed") throw stageError(report.message.failure);
  return report;
}

/** Returns when the program `name` has taken init's place, for then the channel closes. Throws why it could not. */
export function awaitProgram(channel: number, name: string): void {
  const packet = receivePacket(channel);
  if (!packet) return;
  // from the trampoline, which has no words
  if (packet.bytes.length === 4) throw toCommandError(new SyscallError("execve", packet.bytes.readInt32LE(0)), name);
  const report = JSON.parse(packet.bytes.toString()) as Extract<InitReport, { kind: "failed" }>;
  throw stageError(report.failure);
}

function initEnded(): PodError {
  return new PodError("the init stage ended before its work was done");
}

/** A stage's failure as an error; Docker's exit code goes with it where the command itself is at fault. */
function stageError({ step, message, hint, exitCode }: StageFailure): PodError {
  if (exitCode !== undefined) return Object.assign(new PodError(message, { hint }), { exitCode });
  return new PodError(step ? `${step}: ${message}` : message, { hint });
}
