/** What became of a container: `containers/<id>/state.json`, which does change. */

import { join } from "node:path";
import { hasCode, PodError } from "../errors.ts";
import type { Health } from "../health.ts";
import { O_RDWR } from "../ns/constants.ts";
import { open } from "../ns/sys/file.ts";
import { closeSync, fstatSync, renameSync, rmSync, writeFileSync } from "../ns/sys/fs.ts";
import { bootId, processId, startTimeOf } from "../ns/sys/process.ts";
import type { PublishedPort } from "./containers.ts";
import { readJson, withLock, writeAt } from "./files.ts";
import { paths } from "./store.ts";

/** A process that can be told from a later one with the same pid. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since boot: proc(5) stat field 22. */
  startTime: number;
  bootId: string;
}

/** What became of it: `state.json`, rewritten whole at each change. */
export interface ContainerState {
  status: "created" | "running" | "exited";
  /** The container's PID 1 as the host sees it, while it runs. */
  init?: ProcessIdentity;
  monitor?: ProcessIdentity;
  /** The directory of its control group, while it runs, where it has one of its own. */
  cgroup?: string;
  /** A command has given it a monitor, which has not started it yet. */
  starting?: boolean;
  /** Its processes are stopped: `pause`. */
  paused?: boolean;
  /** Its restart policy waits to start it again. */
  restarting?: boolean;
  /** How often its restart policy has started it again since a user did. */
  restartCount?: number;
  /** A user has stopped it: `unless-stopped` then leaves it so. */
  stopped?: boolean;
  /** Published, while it runs. */
  ports?: PublishedPort[];
  /** Where it has a health check: of this run, or the last. */
  health?: Health;
  exitCode?: number;
  /** Why it could not be started, or what pod noticed: for `inspect` and `ps`. */
  error?: string;
  /** RFC 3339, UTC. */
  started?: string;
  finished?: string;
}

/**
 * Held by who gives a container a monitor, and by who deletes it or records its end because it has none: each looks
 * within whether that is still so. No other of the store's locks is held by who asks for it.
 */
export function withStartLock<T>(action: () => T): T {
  return withLock("start", action);
}

/** Replaces the state. Not synced: after a power cut nothing of it is true anyway. */
export function putState(id: string, state: ContainerState): void {
  const file = stateFile(id);
  const temporary = `${file}.${processId()}`;
  const text = JSON.stringify(state);
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, file);
  } catch (error) {
    if (!hasCode(error, "ENOSPC", "EDQUOT")) throw error;
    rmSync(temporary, { force: true });
    overwrite(file, text);
  }
}

const blockBytes = 4096;

/** Where the disk is full, often by this container's own log: in the block that the file has, with one write(2). */
function overwrite(file: string, text: string): void {
  const fd = open(file, O_RDWR);
  try {
    const bytes = Buffer.from(text.padEnd(fstatSync(fd).size)); // JSON may end with spaces
    if (bytes.length > blockBytes) throw new PodError(`write ${file}: it is too long for a full disk`);
    writeAt(fd, bytes, 0);
  } finally {
    closeSync(fd);
  }
}

/** The error of a container whose end nobody has seen; its restart policy ended with its monitor. */
export const monitorKilled = "its monitor was killed";

/** What became of it, also where its record is damaged; undefined where it is gone. */
export function readTrueState(id: string): ContainerState | undefined {
  const written = readState(id);
  return written && trueState(written);
}

/** A power cut may leave an empty file: the container did not survive that, and can be removed or started again. */
function readState(id: string): ContainerState | undefined {
  const damaged: ContainerState = { status: "exited", exitCode: 125, error: "its state.json is damaged" };
  try {
    const state = readJson<ContainerState>(stateFile(id));
    return state === undefined || state?.status ? state : damaged;
  } catch (error) {
    if (error instanceof PodError) return damaged;
    throw error;
  }
}

/**
 * A container runs as long as its monitor does: its first process dies with it, unless it has gained privileges by a
 * setuid program (PR_SET_PDEATHSIG), and then repairContainers ends it. What it would have exited with is unknown.
 */
function trueState(state: ContainerState): ContainerState {
  const isActive = state.status === "running" || state.starting || state.restarting;
  if (!isActive || [state.monitor, state.init].some((identity) => identity && isAlive(identity))) return state;
  const ended = { ...state, starting: undefined, restarting: undefined, paused: undefined };
  if (state.status !== "running") return ended;
  return {
    ...ended,
    status: "exited",
    exitCode: state.exitCode ?? 137,
    error: state.error ?? monitorKilled,
  };
}

/** Whether that very process is there. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identity.bootId === bootId() && startTimeOf(identity.pid) === identity.startTime;
}

/**
 * Opens what is called `name` in that very process's folder of proc(5); undefined where the process has ended: it is
 * compared after opening. A symlink there gives EACCES too where its process ends just then (fs/proc/base.c, proc_fd_access_allowed).
 */
export function openOfProcess(identity: ProcessIdentity, name: string, flags: number): number | undefined {
  let fd: number | undefined;
  try {
    fd = open(`/proc/${identity.pid}/${name}`, flags);
  } catch (error) {
    const hasGone = hasCode(error, "ENOENT", "ESRCH", "ENXIO") || (hasCode(error, "EACCES") && !isAlive(identity));
    if (!hasGone) throw error;
  }
  if (fd === undefined || isAlive(identity)) return fd;
  closeSync(fd);
  return undefined;
}

/** This process, for a record. */
export function identify(pid: number): ProcessIdentity {
  return { pid, startTime: startTimeOf(pid) ?? 0, bootId: bootId() };
}

function stateFile(id: string): string {
  return join(paths.containers, id, "state.json");
}
