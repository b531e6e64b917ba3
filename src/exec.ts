/** `exec`: one more program in a running container. Nothing here prints. */

import { join } from "node:path";
import { monitorGone } from "./attach.ts";
import { config } from "./config.ts";
import { Control } from "./control.ts";
import { completeEnvironment } from "./create.ts";
import { ConflictError, NotFoundError, PodError } from "./errors.ts";
import { carry } from "./exec-streams.ts";
import { allCapabilities } from "./ns/capabilities.ts";
import { type ExecRequest, startInContainer } from "./ns/exec.ts";
import { pipe } from "./ns/sys/descriptor.ts";
import { readFileSync } from "./ns/sys/fs.ts";
import { getTerminalAttributes, getWindowSize } from "./ns/sys/terminal.ts";
import { restartSingleThreaded, ThreadsError } from "./ns/userns.ts";
import { holdSignals, releaseSignals } from "./signals.ts";
import type { RuntimeProcess, RuntimeSpec } from "./spec.ts";
import { type Container, containerDir, findContainer, readContainer } from "./storage/containers.ts";
import { execEvents } from "./storage/events.ts";

export interface ExecOptions {
  command: string[];
  interactive: boolean;
  tty: boolean;
  /** Return as soon as the program runs. */
  detach: boolean;
  /** `NAME=value`, or `NAME` for the caller's value. */
  env: string[];
  envFiles: string[];
  user?: string;
  workdir?: string;
  privileged: boolean;
  detachKeys: number[];
}

/** Runs a command in a container. Returns its exit code; 0 where it was detached. Throws CommandError 126 or 127 where it can't be started. */
export function exec(text: string, options: ExecOptions): number {
  const container = findContainer(text);
  checkRuns(container);
  if (options.tty && options.interactive && !options.detach && !getTerminalAttributes(0)) {
    throw new PodError("cannot attach stdin to a TTY-enabled container because stdin is not a terminal");
  }
  const ends = openStreams(options);
  const { pid, terminal } = whileItRuns(container, () =>
    start({
      process: toProcess(container, options),
      user: options.user ?? container.record.process.user,
      windowSize: options.tty ? (getWindowSize(0) ?? getWindowSize(1)) : undefined,
      namespaces: namespacesOf(container),
      cgroup: container.state.cgroup,
      fds: ends.theirs,
      ...execEvents(container.record, options.command),
    }),
  );
  return options.detach ? 0 : carry(pid, { ...ends.ours, terminal }, options);
}

/** Where the container ends meanwhile any step may fail: that it has ended is what there is to tell. */
function whileItRuns<T>(container: Container, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const now = readContainer(container.record.id);
    if (!now) throw new NotFoundError(`No such container: ${container.record.id}`);
    checkRuns(now);
    throw error;
  }
}

function start(request: ExecRequest): ReturnType<typeof startInContainer> {
  releaseSignals(); // the container may keep the program from being started, and Ctrl-C is to help then
  try {
    const started = startInContainer(request);
    holdSignals();
    return started;
  } catch (error) {
    if (error instanceof ThreadsError) restartSingleThreaded();
    throw error;
  }
}

function checkRuns({ record, state }: Container): void {
  if (state.status !== "running") throw new ConflictError(`container ${record.id} is not running`);
  if (state.paused) throw new ConflictError(`Container ${record.id} is paused, unpause the container before exec`);
}

/** Pipes, for a descriptor of the host's itself is nothing for a container: by /proc it could be opened anew. */
function openStreams({ tty, detach, interactive }: ExecOptions) {
  if (tty || detach) return { theirs: [null, null, null], ours: { outputs: [] } };
  const [stdin, stdout, stderr] = [interactive ? pipe() : undefined, pipe(), pipe()];
  return {
    theirs: [stdin?.readFd ?? null, stdout.writeFd, stderr.writeFd],
    ours: {
      stdin: stdin?.writeFd,
      outputs: [
        { from: stdout.readFd, to: 1 },
        { from: stderr.readFd, to: 2 },
      ],
    },
  };
}

/** The container's own process, with another command. */
function toProcess({ record }: Container, options: ExecOptions): RuntimeProcess {
  const spec = JSON.parse(readFileSync(join(containerDir(record.id), "config.json"), "utf8")) as RuntimeSpec;
  const { bounding } = options.privileged ? { bounding: allCapabilities } : spec.process.capabilities;
  const base = options.tty && !record.process.tty ? ["TERM=xterm", ...record.process.env] : record.process.env;
  return {
    ...spec.process,
    terminal: options.tty,
    args: options.command,
    env: completeEnvironment(base, options, config.variable),
    cwd: options.workdir ?? record.process.workingDir,
    capabilities: { ...spec.process.capabilities, bounding, effective: bounding, permitted: bounding },
  };
}

function namespacesOf({ record }: Container): number[] {
  const control = Control.open(record.id);
  if (!control) throw monitorGone();
  try {
    control.tell({ kind: "namespaces" });
    const fds = control.receiveDescriptors();
    if (fds.length === 0) throw monitorGone();
    return fds;
  } finally {
    control.close();
  }
}
