/** The monitor's side of what it and the stages of a container's start say to each other. */

import { hasCode, PodError } from "../errors.ts";
import { POLLIN } from "./constants.ts";
import type { InitReport } from "./init.ts";
import type { JoinRequest, StartReport } from "./launch.ts";
import type { PreparedStart } from "./prestart.ts";
import { receive, type StageFailure, send } from "./stage.ts";
import { poll } from "./sys/descriptor.ts";
import { writeText } from "./sys/file.ts";
import { mappedIds } from "./userns.ts";

/**
 * Brings the start stage into this process's user and mount namespace, and there into a user namespace of its own, whose
 * maps only a process outside of it can write. All of that comes before it is known what will run.
 */
export function nestUserNamespace(start: PreparedStart): void {
  tell("start", start.channel, { monitorPid: process.pid } satisfies JoinRequest);
  expectStart(start, "map-ids");
  for (const kind of ["gid", "uid"] as const) {
    // One to one: the container's root has the same files, and no power outside. A line for each of the parent's
    // ranges, since the kernel wants a range to lie within one of them.
    const lines = mappedIds(kind).map(({ containerID, size }) => `${containerID} ${containerID} ${size}`);
    writeText(`/proc/${start.pid}/${kind}_map`, lines.join("\n"));
  }
}

/** Sends to the stage. Throws PodError where it has ended. */
export function tell(stage: "start" | "init", channel: number, message: object): void {
  try {
    send(channel, message);
  } catch (error) {
    throw hasCode(error, "EPIPE", "ECONNRESET") ? stageEnded(stage) : error;
  }
}

/** The start stage's next report, which is to be of this kind, with its descriptors. Throws its failure, or that it has ended. */
export function expectStart(
  { channel, pidfd }: PreparedStart,
  kind: StartReport["kind"],
): StartReport & { fds: number[] } {
  let [message, end] = [0, 0];
  while (!message && !end) {
    // Both: the channel's other end lives on in init, which may be there already
    const requests = [channel, pidfd].map((fd) => ({ fd, events: POLLIN }));
    [message, end] = poll(requests, -1) as [number, number];
  }
  const { message: report, fds = [] } = (message ? receive<StartReport>(channel) : undefined) ?? {};
  if (report?.kind === "failed") throw stageError(report.failure);
  if (report?.kind !== kind) throw stageEnded("start");
  return { ...report, fds };
}

/** Init's next report, with the descriptors that came with it. Throws its failure, or that it has ended. */
export function receiveFromInit(channel: number): { message: InitReport; fds: number[] } {
  const report = receive<InitReport>(channel);
  if (!report) throw stageEnded("init");
  if (report.message.kind === "failed") throw stageError(report.message.failure);
  return report;
}

function stageEnded(stage: string): PodError {
  return new PodError(`the ${stage} stage ended before its work was done`);
}

/** A stage's failure as an error; Docker's exit code goes with it where the command itself is at fault. */
export function stageError({ step, message, hint, exitCode }: StageFailure): PodError {
  if (exitCode !== undefined) return Object.assign(new PodError(message, { hint }), { exitCode });
  return new PodError(`${step}: ${message}`, { hint });
}
