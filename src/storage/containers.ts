/** Container records: one folder each, `containers/<id>/`. The record never changes but by rename and update; the state does. */

import { join } from "node:path";
import { ConflictError, DamagedContainerError, hasCode, NotFoundError, PodError } from "../errors.ts";
import type { Health, HealthAction, Healthcheck } from "../health.ts";
import type { KeptIds } from "../keep-id.ts";
import type { LogConfig } from "../log-options.ts";
import { O_RDWR } from "../ns/constants.ts";
import { open } from "../ns/sys/file.ts";
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "../ns/sys/fs.ts";
import { bootId, processId, startTimeOf } from "../ns/sys/process.ts";
import { type ContainerMount, formerMounts } from "./container-mount.ts";
import { recordContainerEvent } from "./events.ts";
import { makeTemporaryDir, readJson, removeTree, withLock, withReserve, writeAt, writeFileAtomic } from "./files.ts";
import { paths } from "./store.ts";
import { processTag } from "./tags.ts";

/** What the user asked for, complete: `container.json`. Written before anything runs; rename and update change it. */
export interface ContainerRecord {
  version: 1;
  /** 64 hexadecimal digits. */
  id: string;
  name: string;
  /** RFC 3339, UTC. */
  created: string;
  image: {
    /** As the user named it: `alpine`. */
    reference: string;
    /** The config's digest, `sha256:…`. */
    id: string;
    /** Platform of the image, `linux/amd64`. */
    platform: string;
  };
  /** Storage driver; `auto` never changes it later. */
  driver: "overlay" | "fuse-overlayfs" | "btrfs" | "vfs";
  /** chainIds from the lowest layer up. */
  layers: string[];
  process: {
    /** Entrypoint and command together: what runs. */
    args: string[];
    entrypoint: string[];
    command: string[];
    /** `NAME=value`, complete. */
    env: string[];
    /** As given by `-u` or the image; resolved against the container's own passwd at start. */
    user: string;
    workingDir: string;
    tty: boolean;
    openStdin: boolean;
    /** The input ends with that of the command that started it. */
    stdinOnce: boolean;
    init: boolean;
    stopSignal: string;
  };
  hostname: string;
  labels: Record<string, string>;
  exposedPorts: string[];
  readonlyRootfs: boolean;
  autoRemove: boolean;
  restart: RestartPolicy;
  log: LogConfig;
  /** `shell` is the image's, for `CMD-SHELL`. */
  health?: { check: Healthcheck; shell: string[]; onFailure: HealthAction };
  /** How long `stop` waits before SIGKILL. */
  stopTimeoutSeconds: number;
  network: ContainerNetworking;
  /** `-p` and `-P`. */
  ports?: PortBinding[];
  /** `name:ip`, as `--add-host` takes them. */
  extraHosts: string[];
  shmSizeBytes: number;
  mounts: ContainerMount[];
  /** `--userns`: missing where the container's root is the caller. */
  userns?: KeptIds;
}

/** `--network` and what belongs to it. */
export interface ContainerNetworking {
  /** `bridge`: networks with a bridge, those of `endpoints`; `container`: another one's. */
  mode: "bridge" | "slirp4netns" | "host" | "none" | "container";
  /** Whose it is, by id. */
  container?: string;
  /** Of `slirp4netns`. */
  allowHostLoopback: boolean;
  endpoints?: Endpoint[];
  /** `--dns`, `--dns-search`, `--dns-option`; missing where none was given. */
  dns?: { servers: string[]; search: string[]; options: string[] };
}

/** A port of the container's, and where on the host it is to be. */
export interface PortBinding {
  port: number;
  protocol: "tcp" | "udp";
  /** Empty is all of the host's, IPv4 and IPv6. */
  hostAddress: string;
  /** 0 is one that is free. */
  hostPort: number;
  /** Of a range, the first that is free. */
  hostPortEnd?: number;
}

/** As it came to be. */
export type PublishedPort = Omit<PortBinding, "hostPortEnd">;

/** A network that the container is to be in, and as whom. */
export interface Endpoint {
  /** Its name. */
  network: string;
  /** As asked for; else one that is free. */
  address?: string;
  mac?: string;
  aliases: string[];
}

/** `--restart`. A maximum of 0 is none. */
export interface RestartPolicy {
  name: "no" | "on-failure" | "always" | "unless-stopped";
  maximumRetryCount: number;
}

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
  /** A command has given it a new monitor, which has not started it yet. */
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

export interface Container {
  record: ContainerRecord;
  state: ContainerState;
}

/** The container's folder. */
export function containerDir(id: string): string {
  return join(paths.containers, id);
}

/**
 * Records a new container: its folder appears whole, its name is taken in the same moment. `monitor` is the process
 * that will run it. Throws ConflictError with Docker's text where somebody has the name.
 */
export function putContainer(
  record: ContainerRecord,
  files: Record<string, string>,
  folders: string[],
  monitor?: ProcessIdentity,
): void {
  const temporary = makeTemporaryDir();
  try {
    fillContainer(temporary, record, files, folders, { status: "created", monitor });
    withLock("names", () => takeName(temporary, record));
    recordContainerEvent("create", record);
  } catch (error) {
    removeTree(temporary);
    throw error;
  }
}

function fillContainer(
  temporary: string,
  record: ContainerRecord,
  files: Record<string, string>,
  folders: string[],
  state: ContainerState,
): void {
  for (const folder of folders) mkdirSync(join(temporary, folder), { mode: 0o755 });
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(temporary, name), text);
    chmodSync(join(temporary, name), 0o644); // every user of the container reads them, whatever the caller's umask
  }
  writeFileSync(join(temporary, "container.json"), JSON.stringify(record, null, 2));
  writeFileSync(join(temporary, "state.json"), JSON.stringify(state));
}

function takeName(temporary: string, record: ContainerRecord): void {
  const link = join(paths.names, record.name);
  const owner = idOfName(record.name);
  if (owner !== undefined) throw nameConflict(record.name, owner);
  rmSync(link, { force: true }); // its container is gone: whoever took the name ended before recording it
  symlinkSync(record.id, link);
  renameSync(temporary, containerDir(record.id));
}

/** The record is the truth: a link that it does not know of was left by a rename that was killed. */
function hasName(id: string, name: string): boolean {
  try {
    return readRecord(id)?.name === name;
  } catch (error) {
    if (error instanceof DamagedContainerError) return true; // it may have been so
    throw error;
  }
}

/** Of the container that has exactly this name. */
export function idOfName(name: string): string | undefined {
  const owner = readName(name);
  return owner !== undefined && hasName(owner, name) ? owner : undefined;
}

/** Throws DamagedContainerError where the file is no record. */
function readRecord(id: string): ContainerRecord | undefined {
  const hint = `\`pod rm ${id.slice(0, 12)}\` gives it up; what it wrote is in ${containerDir(id)}/upper`;
  let record: ContainerRecord | undefined;
  try {
    record = readJson(join(containerDir(id), "container.json"));
  } catch (cause) {
    throw cause instanceof PodError ? new DamagedContainerError(id, { cause: cause.cause, hint }) : cause;
  }
  if (record !== undefined && record?.id !== id) throw new DamagedContainerError(id, { hint });
  return record && { ...record, mounts: record.mounts ?? formerMounts(record as object) };
}

/** Gives a container another name, or another restart policy. Throws ConflictError with Docker's text where the name is taken. */
export function changeRecord(id: string, change: Partial<Pick<ContainerRecord, "name" | "restart" | "network">>): void {
  withLock("names", () => {
    const record = readRecord(id);
    if (!record) throw new NotFoundError(`No such container: ${id}`);
    const { name = record.name } = change;
    if (name !== record.name) linkName(id, name);
    writeFileAtomic(join(containerDir(id), "container.json"), JSON.stringify({ ...record, ...change }, null, 2));
    if (name !== record.name) rmSync(join(paths.names, record.name), { force: true });
  });
}

function linkName(id: string, name: string): void {
  const owner = idOfName(name);
  if (owner !== undefined) throw nameConflict(name, owner);
  rmSync(join(paths.names, name), { force: true });
  symlinkSync(id, join(paths.names, name));
}

function nameConflict(name: string, owner: string): ConflictError {
  return new ConflictError(
    `Conflict. The container name "/${name}" is already in use by container "${owner}". You have to remove (or rename) that container to be able to reuse that name.`,
  );
}

/** The id of the container that has this name. */
export function readName(name: string): string | undefined {
  try {
    return readlinkSync(join(paths.names, name));
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENAMETOOLONG")) return undefined;
    throw error;
  }
}

/** Replaces the state. Not synced: after a power cut nothing of it is true anyway. */
export function putState(id: string, state: ContainerState): void {
  const file = join(containerDir(id), "state.json");
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

/**
 * All containers, newest first, with true states; or those whose state is `wanted`: the records of others are not read.
 * `onDamaged` is told of those whose record is damaged; without it the first such error is thrown.
 */
export function listContainers(
  wanted?: (state: ContainerState) => boolean,
  onDamaged?: (error: DamagedContainerError) => void,
): Container[] {
  if (!existsSync(paths.containers)) return [];
  return readdirSync(paths.containers)
    .flatMap((id) => {
      try {
        return readContainer(id, wanted) ?? [];
      } catch (error) {
        if (!onDamaged || !(error instanceof DamagedContainerError)) throw error;
        onDamaged(error);
        return [];
      }
    })
    .sort((a, b) => (a.record.created < b.record.created ? 1 : -1));
}

/** For listContainers(): the others are what matters. */
export function passOver(): void {}

/** By name, id, or a prefix of the id that fits one only. Throws NotFoundError, ConflictError or DamagedContainerError. */
export function findContainer(text: string): Container {
  const name = text.replace(/^\//, "");
  const named = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) ? readName(name) : undefined;
  const ids = named
    ? [named]
    : /^[0-9a-f]{1,64}$/.test(name) && existsSync(paths.containers)
      ? readdirSync(paths.containers).filter((id) => id.startsWith(name))
      : [];
  if (ids.length > 1) throw new ConflictError(`Multiple IDs found with provided prefix: ${text}`);
  const container = ids[0] === undefined ? undefined : readContainer(ids[0]);
  if (!container || (named && container.record.name !== name)) throw new NotFoundError(`No such container: ${text}`);
  return container;
}

/** What fails because the container was removed meanwhile is NotFoundError in Docker's words. */
export function unlessRemoved<T>({ id, name }: ContainerRecord, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw existsSync(containerDir(id)) ? cause : new NotFoundError(`No such container: ${name}`, { cause });
  }
}

/** The error of a container whose end nobody has seen; its restart policy ended with its monitor. */
export const monitorKilled = "its monitor was killed";

/** A power cut may leave an empty file: the container did not survive that, and can be removed or started again. */
function readState(id: string): ContainerState | undefined {
  const damaged: ContainerState = { status: "exited", exitCode: 125, error: "its state.json is damaged" };
  try {
    const state = readJson<ContainerState>(join(containerDir(id), "state.json"));
    return state === undefined || state?.status ? state : damaged;
  } catch (error) {
    if (error instanceof PodError) return damaged;
    throw error;
  }
}

/** What became of it, also where its record is damaged; undefined where it is gone. */
export function readTrueState(id: string): ContainerState | undefined {
  const written = readState(id);
  return written && trueState(written);
}

/** The record and its true state; undefined where it is gone, or not `wanted`. Throws DamagedContainerError. */
export function readContainer(id: string, wanted?: (state: ContainerState) => boolean): Container | undefined {
  const state = readTrueState(id);
  if (!state || wanted?.(state) === false) return undefined;
  const record = readRecord(id);
  return record && { record, state };
}

/** Undefined where it is gone, or its record damaged. */
export function nameOf(id: string): string | undefined {
  try {
    return readRecord(id)?.name;
  } catch (error) {
    if (error instanceof DamagedContainerError) return undefined;
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

/** This process, for a record. */
export function identify(pid: number): ProcessIdentity {
  return { pid, startTime: startTimeOf(pid) ?? 0, bootId: bootId() };
}

/**
 * Deletes a container: it disappears in one moment, with its name; what another process has deleted already is no
 * error. The function that comes back deletes its files; a later command does that, should this process end first. The
 * caller made sure that nothing runs.
 */
export function deleteContainer(record: ContainerRecord): () => void {
  const trash = join(paths.temporary, processTag());
  withLock("names", () => {
    const current = readRecord(record.id) ?? record; // it may have got another name
    if (existsSync(containerDir(record.id))) {
      withReserve(() => renameSync(containerDir(record.id), trash));
      recordContainerEvent("destroy", current);
    }
    for (const name of new Set([record.name, current.name])) {
      if (readName(name) === record.id) rmSync(join(paths.names, name), { force: true });
    }
  });
  return () => removeTree(trash);
}

/** The same for one whose record is damaged. */
export function deleteDamaged(id: string): () => void {
  const trash = join(paths.temporary, processTag());
  withLock("names", () => {
    if (existsSync(containerDir(id))) withReserve(() => renameSync(containerDir(id), trash));
    for (const name of readdirSync(paths.names)) {
      if (readName(name) === id) rmSync(join(paths.names, name), { force: true });
    }
  });
  return () => removeTree(trash);
}

/** Removes names whose container is not there, or called otherwise: of processes that were killed between the two. */
export function sweepNames(): void {
  if (readdirSync(paths.names).length <= readdirSync(paths.containers).length) return;
  withLock("names", () => {
    for (const name of readdirSync(paths.names)) {
      if (!hasName(readName(name)!, name)) rmSync(join(paths.names, name), { force: true });
    }
  });
}
