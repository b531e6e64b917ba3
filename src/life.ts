/** The life of a container: run, start, stop, kill, restart, wait, pause, attach. Nothing here prints. */

import { attach, awaitMessage, failureToError, monitorGone } from "./attach.ts";
import { create } from "./container.ts";
import { Control } from "./control.ts";
import type { CreateOptions } from "./create.ts";
import { endContainer, readDecided } from "./ending.ts";
import { ConflictError, hasCode, PodError } from "./errors.ts";
import { encodeControl, FrameReader } from "./frames.ts";
import { removeCgroupOf } from "./ns/cgroup.ts";
import { writeAll } from "./ns/sys/descriptor.ts";
import { getTerminalAttributes, getWindowSize } from "./ns/sys/terminal.ts";
import type { PullProgress } from "./progress.ts";
import { waitForEnd } from "./repair.ts";
import { signalNumber } from "./signal-names.ts";
import { endedBySignals, releaseSignals } from "./signals.ts";
import { identify, isAlive, putState, withStartLock } from "./storage/container-state.ts";
import {
  type Container,
  type ContainerRecord,
  findContainer,
  readContainer,
  requireContainer,
} from "./storage/containers.ts";
import { recordContainerEvent } from "./storage/events.ts";
import { LogReader, makeLog } from "./storage/logs.ts";
import { preparedMonitor, takeMonitor, type WaitingMonitor } from "./waiting.ts";

const SIGKILL = 9;

/** How the caller takes part in a run. */
export interface Attachment {
  /** Return as soon as the program runs. */
  detach: boolean;
  /** Whether the caller's stdin goes to the program, where that has an open one. */
  stdin: boolean;
  detachKeys: number[];
  sigProxy: boolean;
}

/** Creates a container and runs it. Resolves when it has ended, or runs detached. Throws where it can't be started. */
export async function run(
  options: CreateOptions,
  attachment: Attachment,
  progress: PullProgress,
): Promise<{ id: string; exitCode: number }> {
  if (options.tty && options.interactive && !attachment.detach) requireTerminal();
  let monitor = takeMonitor();
  const prepare = () => {
    monitor = preparedMonitor(monitor);
    return monitor.pid;
  };
  const { record } = await endedBySignals(create(options, progress, prepare));
  return { id: record.id, exitCode: launch(monitor, record, attachment) };
}

function requireTerminal(): void {
  if (getTerminalAttributes(0)) return;
  throw new PodError("cannot attach stdin to a TTY-enabled container because stdin is not a terminal");
}

/** Starts a container that is there. Returns its exit code, 0 where it was started detached, or runs already. */
export function start(text: string, attachment: Attachment): number {
  const { record, state } = findContainer(text);
  if (state.paused) throw new ConflictError("cannot start a paused container, try unpause instead");
  if (record.process.tty && attachment.stdin) requireTerminal();
  const monitor = claim(record.id);
  if (!monitor) return attachment.detach ? 0 : attachTo(text, attachment);
  return launch(monitor, record, attachment);
}

/** Makes a new monitor the container's; undefined where it runs, or another command just starts it. */
function claim(id: string): WaitingMonitor | undefined {
  const { state } = readDecided(id) ?? requireContainer(id);
  const isEnding = state.status !== "running" && !state.starting && !state.restarting;
  if (isEnding && state.monitor) waitForEnd(state.monitor);
  return withStartLock(() => {
    const { state } = requireContainer(id);
    if (state.monitor && isAlive(state.monitor)) return undefined;
    if (state.monitor) removeCgroupOf(state.monitor.pid, state.cgroup); // it may have been killed
    const monitor = preparedMonitor(takeMonitor());
    const fresh = { starting: true, stopped: undefined, restartCount: undefined, cgroup: undefined };
    putState(id, { ...state, ...fresh, monitor: identify(monitor.pid) });
    return monitor;
  });
}

function launch(monitor: WaitingMonitor, record: ContainerRecord, attachment: Attachment): number {
  if (attachment.detach) releaseSignals();
  const windowSize = record.process.tty ? (getWindowSize(0) ?? getWindowSize(1)) : undefined;
  const log = attachment.detach ? undefined : openLog(record);
  try {
    writeAll(monitor.fd, encodeControl({ kind: "launch", id: record.id, windowSize }));
  } catch (error) {
    throw hasCode(error, "EPIPE") ? monitorGone() : error;
  }
  if (log) return follow(monitor.fd, log, record, attachment);
  const answer = awaitMessage(monitor.fd, new FrameReader());
  if (answer.kind === "failed") throw failureToError(answer);
  return 0;
}

/** From its end on, and before the container may end, and its folder go. */
function openLog(record: ContainerRecord): LogReader {
  makeLog(record.id);
  recordContainerEvent("attach", record);
  return new LogReader(record.id, { tail: 0 });
}

function follow(fd: number, log: LogReader, record: ContainerRecord, attachment: Attachment): number {
  const { tty, openStdin } = record.process;
  const { detachKeys, sigProxy } = attachment;
  const result = attach(fd, log, { tty, interactive: openStdin && attachment.stdin, sigProxy, detachKeys });
  return result.kind === "exited" ? result.exitCode : 0;
}

/** Takes part in a container that runs: its output from now on. Returns its exit code, or 0 after a detach. */
export function attachTo(text: string, attachment: Attachment): number {
  const { record, state } = findContainer(text);
  if (state.status !== "running") {
    throw new ConflictError("cannot attach to a stopped container, start it first");
  }
  if (state.paused) throw new ConflictError("cannot attach to a paused container, unpause it first");
  if (record.process.tty && record.process.openStdin && attachment.stdin) requireTerminal();
  const control = Control.open(record.id);
  if (!control) throw monitorGone();
  const log = openLog(record);
  control.tell({ kind: "attach" });
  return follow(control.fd, log, record, attachment);
}

/** Asks the program to end, with SIGKILL after the time. Returns when it has ended; does nothing where it does not run. */
export function stop(text: string, options: { timeoutSeconds?: number; signal?: string } = {}): void {
  const { record, state } = findContainer(text);
  if (state.paused) unpause(text);
  const seconds = options.timeoutSeconds ?? record.stopTimeoutSeconds;
  const signal = signalNumber(options.signal ?? record.process.stopSignal);
  if (endContainer(record.id, signal, seconds < 0 ? -1 : seconds * 1000)) recordContainerEvent("stop", record);
}

/** Sends a signal to the program; SIGKILL ends it for good, as `stop` does. Throws ConflictError where it does not run. */
export function kill(text: string, signal: string): void {
  const number = signalNumber(signal);
  const { record, state } = findContainer(text);
  const isSent = state.status === "running" && (number === SIGKILL ? end(record.id) : sendSignal(record.id, number));
  if (!isSent) throw new ConflictError(`cannot kill container: ${text}: container ${record.id} is not running`);
}

function end(id: string): boolean {
  return endContainer(id, SIGKILL, 10_000);
}

function sendSignal(id: string, signal: number): boolean {
  const control = Control.open(id);
  control?.tell({ kind: "signal", signal });
  control?.close();
  return control !== undefined;
}

/** Stops it where it runs, and starts it. */
export function restart(text: string, options: { timeoutSeconds?: number; signal?: string }): void {
  releaseSignals(); // it may take its time, and nobody attaches
  stop(text, options);
  start(text, { detach: true, stdin: false, detachKeys: [], sigProxy: false });
  recordContainerEvent("restart", findContainer(text).record);
}

/** Waits for the program's end. Returns its exit code; at once where it does not run. */
export function wait(text: string): number {
  const { record, state } = findContainer(text);
  const control = Control.open(record.id);
  const message = control?.await("exited");
  control?.close();
  if (message && message !== "gone") return message.exitCode;
  if (state.status === "running" && state.monitor) waitForEnd(state.monitor); // it is just ending, or was killed
  return readContainer(record.id)?.state.exitCode ?? 0;
}

/** Stops all of its processes where they stand. Returns whether SIGSTOP had to do it, which they can notice. */
export function pause(text: string): boolean {
  const { record, state } = runningContainer(text);
  if (state.paused) throw new ConflictError(`container ${record.id} is already paused`);
  return ask(record.id, "pause");
}

export function unpause(text: string): void {
  const { record, state } = runningContainer(text);
  if (!state.paused) throw new ConflictError(`Container ${record.id} is not paused`);
  ask(record.id, "unpause");
}

function runningContainer(text: string): Container {
  const container = findContainer(text);
  if (container.state.status === "running") return container;
  throw new ConflictError(`Container ${container.record.id} is not running`);
}

function ask(id: string, kind: "pause" | "unpause"): boolean {
  const control = Control.open(id);
  if (!control) throw monitorGone();
  try {
    control.tell({ kind });
    const answer = control.await("done");
    if (!answer || answer === "gone") throw monitorGone();
    return answer.bySignal === true;
  } finally {
    control.close();
  }
}
