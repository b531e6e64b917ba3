/** Container records: one folder each, `containers/<id>/`. The record never changes but by rename and update; the state does. */

import { join } from "node:path";
import type { ContainerIds } from "../container-ids.ts";
import { ConflictError, DamagedContainerError, hasCode, NotFoundError, PodError } from "../errors.ts";
import type { HealthAction, Healthcheck } from "../health.ts";
import type { LogConfig } from "../log-options.ts";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "../ns/sys/fs.ts";
import { type ContainerMount, formerMounts } from "./container-mount.ts";
import { type ContainerState, type ProcessIdentity, readTrueState } from "./container-state.ts";
import { recordContainerEvent } from "./events.ts";
import { makeTemporaryDir, readJson, removeTree, withLock, writeFileAtomic } from "./files.ts";
import { paths } from "./store.ts";

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
  userns?: ContainerIds;
}

/** `--network` and what belongs to it. */
export interface ContainerNetworking {
  /** `bridge`: networks with a bridge, those of `endpoints`; `container`: another one's. */
  mode: "bridge" | "slirp4netns" | "pasta" | "host" | "none" | "container";
  /** Whose it is, by id. */
  container?: string;
  /** Of `slirp4netns` and `pasta`. */
  allowHostLoopback: boolean;
  /** Of these too, where something was asked for. */
  own?: OwnNetworkSettings;
  endpoints?: Endpoint[];
  /** `--dns`, `--dns-search`, `--dns-option`; missing where none was given. */
  dns?: { servers: string[]; search: string[]; options: string[] };
}

/** A network that a container has for itself. What is missing is as slirp4netns(1) has it. */
export interface OwnNetworkSettings {
  /** Of IPv4. */
  subnet?: string;
  mtuBytes?: number;
  ipv6?: boolean;
  /** The host's addresses that it speaks from, of IPv4 and of IPv6. */
  outbound?: string;
  outbound6?: string;
  /** What the container's interface is called. */
  interface?: string;
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
export interface PublishedPort extends Omit<PortBinding, "hostPortEnd"> {
  /** Missing where an older pod runs the container: `container`. */
  seenAs?: SeenAs;
}

/** Whom the container sees when somebody calls: the client's own address, the network's gateway, or the container's own address. */
export type SeenAs = "client" | "gateway" | "container";

/** A network that the container is to be in, and as whom. */
export interface Endpoint {
  /** Its name. */
  network: string;
  /** As asked for; else one that is free. */
  address?: string;
  address6?: string;
  mac?: string;
  aliases: string[];
}

/** `--restart`. A maximum of 0 is none. */
export interface RestartPolicy {
  name: "no" | "on-failure" | "always" | "unless-stopped";
  maximumRetryCount: number;
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
    fillContainer(temporary, record, files, folders, { status: "created", monitor, starting: monitor && true });
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
export function hasName(id: string, name: string): boolean {
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
export function readRecord(id: string): ContainerRecord | undefined {
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

export type RecordChange = Partial<Pick<ContainerRecord, "name" | "restart" | "network" | "ports">>;

/**
 * Gives a container another name, another restart policy, other networks or ports: what `decide` says, which sees its
 * record as it is now. Returns that. Throws ConflictError with Docker's text where the name is taken.
 */
export function changeRecord(id: string, decide: (record: ContainerRecord) => RecordChange): RecordChange {
  return withLock("names", () => {
    const record = readRecord(id);
    if (!record) throw new NotFoundError(`No such container: ${id}`);
    const change = decide(record);
    const { name = record.name } = change;
    if (name !== record.name) linkName(id, name);
    writeFileAtomic(join(containerDir(id), "container.json"), JSON.stringify({ ...record, ...change }, null, 2));
    if (name !== record.name) rmSync(join(paths.names, record.name), { force: true });
    return change;
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

/** The record and its true state; undefined where it is gone, or not `wanted`. Throws DamagedContainerError. */
export function readContainer(id: string, wanted?: (state: ContainerState) => boolean): Container | undefined {
  const state = readTrueState(id);
  if (!state || wanted?.(state) === false) return undefined;
  const record = readRecord(id);
  return record && { record, state };
}

/** The same; throws NotFoundError where it is gone. */
export function requireContainer(id: string): Container {
  const container = readContainer(id);
  if (container) return container;
  throw new NotFoundError(`No such container: ${id}`);
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
