/** The user's options and the image's configuration as a container record: Docker's rules of what overrides what. */

import { isAbsolute, normalize } from "node:path";
import type { AutoIds, ContainerIds } from "./container-ids.ts";
import { PodError, UsageError } from "./errors.ts";
import { type HealthAction, type Healthcheck, mergeHealthcheck } from "./health.ts";
import type { LogConfig } from "./log-options.ts";
import { inheritMounts, planMounts } from "./mounts/plan.ts";
import { parseTmpfs } from "./mounts/tmpfs-option.ts";
import { parseVolume, parseVolumesFrom } from "./mounts/volume-option.ts";
import { type NetworkingOptions, toNetworking } from "./network-options.ts";
import { O_RDONLY } from "./ns/constants.ts";
import { close, open, readDescriptor } from "./ns/sys/file.ts";
import { publishExposed } from "./port-options.ts";
import type { ContainerMount } from "./storage/container-mount.ts";
import type { ContainerRecord, PortBinding } from "./storage/containers.ts";
import type { DriverName } from "./storage/drivers.ts";
import type { Image } from "./storage/images.ts";
import { chainIds } from "./storage/layers.ts";
import type { AutoWish, UsernsWish } from "./userns-option.ts";

export interface CreateOptions {
  image: string;
  command: string[];
  name?: string;
  /** `NAME=value`, or `NAME` for the caller's value. */
  env: string[];
  envFiles: string[];
  /** `-v` as given. */
  binds: string[];
  /** Of `--mount`, `--device` and `--secret`. */
  mounts: ContainerMount[];
  /** `container` or `container:ro`. */
  volumesFrom: string[];
  workdir?: string;
  user?: string;
  /** Empty resets the image's. */
  entrypoint?: string;
  hostname?: string;
  networking: NetworkingOptions;
  ports: PortBinding[];
  /** `80/tcp`, besides the image's. */
  expose: string[];
  publishAll: boolean;
  /** Undefined is the usual. */
  userns?: UsernsWish;
  readOnly: boolean;
  /** With `readOnly` some folders are writable all the same. */
  readOnlyTmpfs: boolean;
  /** `path` or `path:options`. */
  tmpfs: string[];
  shmSizeBytes?: number;
  init: boolean;
  pull: "always" | "missing" | "never";
  platform?: string;
  labels: string[];
  addHosts: string[];
  storageDriver?: string;
  tty: boolean;
  interactive: boolean;
  autoRemove: boolean;
  /** A container that has the name goes first, also a running one. */
  replace: boolean;
  /** Gets the id; it must not be there. */
  cidFile?: string;
  /** `no`, `on-failure`, `on-failure:3`, `always`, `unless-stopped`. */
  restart: string;
  stopSignal?: string;
  stopTimeoutSeconds?: number;
  log: LogConfig;
  /** Undefined values are the image's. With `none` there is no check, whatever the image says. */
  health: { check: Healthcheck; none: boolean; onFailure: HealthAction };
  /** Nobody will attach when it is started. */
  detach: boolean;
}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What the options need of the host and of the store. */
export interface CreateHost {
  id: string;
  driver: DriverName;
  /** Of whom it shares the network with. */
  hostname: string;
  /** The caller's environment. */
  variable: (name: string) => string | undefined;
  /** An image that `--mount` names. */
  image: (reference: string) => Image;
  /** What a container of `--volumes-from` has. */
  mountsOf: (container: string) => ContainerMount[];
  newVolumeName: () => string;
  /** The caller's own. */
  ids: { uid: number; gid: number };
  /** Who `-u` or the image's USER is in the image. */
  imageUser: (user: string) => { uid: number; gid: number };
  /** Ids that no other container has. */
  freeIds: (wish: AutoWish, user: string) => AutoIds;
}

/** Throws UsageError and PodError with Docker's texts. */
export function toRecord(options: CreateOptions, image: Image, host: CreateHost): ContainerRecord {
  const network = toNetworking(options.networking);
  if (network.container !== undefined) checkGuest(options);
  const config = image.config.config ?? {};
  const { entrypoint, command } = toCommand(options, config);
  const published = options.ports.map(({ port, protocol }) => `${port}/${protocol}`);
  const exposedPorts = [...new Set([...Object.keys(config.ExposedPorts ?? {}), ...options.expose, ...published])];
  const ports = [...options.ports, ...(options.publishAll ? publishExposed(exposedPorts, options.ports) : [])];
  const name = checkName(options.name ?? randomName());
  const userns = toUserns(options, config, host);
  const ownUser = userns?.mode === "keep-id" ? `${userns.uid}:${userns.gid}` : "";
  const user = options.user ?? (config.User || ownUser);
  const containerHostname = options.hostname ?? (sharesHostname(network.mode) ? host.hostname : host.id.slice(0, 12));
  return {
    version: 1,
    id: host.id,
    name,
    created: new Date().toISOString(),
    image: { reference: options.image, id: image.id, platform: `${image.platform.os}/${image.platform.architecture}` },
    driver: host.driver,
    layers: chainIds(image.config.rootfs.diff_ids),
    process: {
      args: [...entrypoint, ...command],
      entrypoint,
      command,
      env: toEnvironment(options, config.Env ?? [], containerHostname, host.variable),
      user,
      workingDir: toWorkingDir(options.workdir ?? (config.WorkingDir || "/")),
      tty: options.tty,
      openStdin: options.interactive,
      stdinOnce: options.interactive && !options.detach,
      init: options.init,
      stopSignal: options.stopSignal ?? config.StopSignal ?? "SIGTERM",
    },
    hostname: containerHostname,
    labels: { ...config.Labels, ...Object.fromEntries(options.labels.map(splitPair)) },
    exposedPorts,
    readonlyRootfs: options.readOnly,
    autoRemove: options.autoRemove,
    restart: restartOf(options),
    log: options.log,
    health: toHealth(options.health, config),
    stopTimeoutSeconds: options.stopTimeoutSeconds ?? 10,
    network,
    ...(ports.length && { ports }),
    extraHosts: options.addHosts.map(checkExtraHost),
    shmSizeBytes: options.shmSizeBytes ?? 64 * 1024 * 1024,
    mounts: toMounts(options, config, host),
    ...(userns && { userns }),
  };
}

/** Where it would be the container's root who is the caller, nothing is to be done. */
function toUserns(
  { userns, user }: CreateOptions,
  config: NonNullable<Image["config"]["config"]>,
  host: CreateHost,
): ContainerIds | undefined {
  if (!userns) return undefined;
  if (userns.mode === "auto") return host.freeIds(userns, user ?? config.User ?? "");
  const { mode } = userns;
  const ids = mode === "caller" ? host.imageUser(user ?? config.User ?? "") : { ...host.ids, ...defined(userns) };
  const { uid, gid } = ids;
  return uid === 0 && gid === 0 ? undefined : { mode, uid, gid };
}

function defined({ uid, gid }: { uid?: number; gid?: number }) {
  return { ...(uid !== undefined && { uid }), ...(gid !== undefined && { gid }) };
}

function toMounts(
  options: CreateOptions,
  config: NonNullable<Image["config"]["config"]>,
  host: CreateHost,
): ContainerMount[] {
  const wishes = {
    mounts: [...options.binds.map(parseVolume), ...options.mounts],
    tmpfs: options.tmpfs.map(parseTmpfs),
    inherited: options.volumesFrom
      .map(parseVolumesFrom)
      .flatMap((from) => inheritMounts(host.mountsOf(from.container), from)),
    imageVolumes: Object.keys(config.Volumes ?? {}),
    readOnlyTmpfs: options.readOnly && options.readOnlyTmpfs,
  };
  return planMounts(wishes, host.newVolumeName).map((mount) => {
    if (mount.type !== "image") return mount;
    const mounted = host.image(mount.reference);
    return { ...mount, id: mounted.id, layers: chainIds(mounted.config.rootfs.diff_ids) };
  });
}

function restartOf({ restart, autoRemove }: CreateOptions): ContainerRecord["restart"] {
  const policy = parseRestart(restart);
  if (policy.name === "no" || !autoRemove) return policy;
  throw new PodError("conflicting options: cannot specify both --restart and --rm");
}

/** What belongs to the network is that of the container whose it is. */
function checkGuest({ hostname, addHosts, ports, publishAll, expose }: CreateOptions): void {
  const conflicts: [boolean, string][] = [
    [hostname !== undefined, "hostname and the network mode"],
    [addHosts.length > 0, "custom host-to-IP mapping and the network mode"],
    [ports.length > 0 || publishAll, "port publishing and the container type network mode"],
    [expose.length > 0, "port exposing and the container type network mode"],
  ];
  const found = conflicts.find(([isGiven]) => isGiven);
  if (found) throw new UsageError(`conflicting options: ${found[1]}`);
}

/** With another's network comes its name. */
function sharesHostname(mode: ContainerRecord["network"]["mode"]): boolean {
  return mode === "host" || mode === "container";
}

/** docker/cli opts.ParseRestartPolicy, and moby's check. */
export function parseRestart(text: string): ContainerRecord["restart"] {
  const [, name, count] = /^(no|on-failure|always|unless-stopped)(?::(\d+))?$/.exec(text || "no") ?? [];
  if (!name) throw new UsageError(`invalid restart policy: ${text}`);
  if (count && name !== "on-failure")
    throw new UsageError("invalid restart policy: maximum retry count can only be used with 'on-failure'");
  return { name: name as ContainerRecord["restart"]["name"], maximumRetryCount: Number(count ?? 0) };
}

function toCommand(options: CreateOptions, config: NonNullable<Image["config"]["config"]>) {
  const reset = options.entrypoint !== undefined; // then the image's command does not apply either
  const entrypoint = reset ? (options.entrypoint ? [options.entrypoint!] : []) : (config.Entrypoint ?? []);
  const command = options.command.length ? options.command : reset ? [] : (config.Cmd ?? []);
  if (entrypoint.length + command.length === 0) throw new PodError("no command specified");
  return { entrypoint, command };
}

/** Docker's order: the defaults, the image's, files', then `-e`; a later one of a name takes the place of the earlier. */
function toEnvironment(
  options: CreateOptions,
  imageEnv: string[],
  containerHostname: string,
  variable: (name: string) => string | undefined,
): string[] {
  const entries = [
    defaultPath,
    `HOSTNAME=${containerHostname}`,
    ...(options.tty ? ["TERM=xterm"] : []),
    "container=pod",
    ...imageEnv,
  ];
  return completeEnvironment(entries, options, variable);
}

/** `base` with what `--env-file` and `-e` add; a later one of a name takes the place of the earlier. */
export function completeEnvironment(
  base: string[],
  options: { env: string[]; envFiles: string[] },
  variable: (name: string) => string | undefined,
): string[] {
  const entries = [
    ...base,
    ...options.envFiles.flatMap(readEnvFile).flatMap((entry) => completeEntry(entry, variable)),
    ...options.env.flatMap((entry) => completeEntry(entry, variable)),
  ];
  return [...new Map(entries.map((entry) => [entry.split("=", 1)[0]!, entry])).values()];
}

function completeEntry(entry: string, variable: (name: string) => string | undefined): string[] {
  if (entry.startsWith("=") || entry === "") throw new UsageError(`invalid environment variable: ${entry}`);
  if (entry.includes("=")) return [entry];
  const value = variable(entry);
  return value === undefined ? [] : [`${entry}=${value}`];
}

/** Lines of `NAME=value` or `NAME`; `#` begins a comment line. */
function readEnvFile(path: string): string[] {
  return readBounded(path)
    .toString()
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line && !line.startsWith("#"))
    .map(checkEnvLine);
}

const envFileMaximumBytes = 1 << 20;

function readBounded(path: string): Buffer {
  try {
    const fd = open(path, O_RDONLY);
    try {
      const bytes = readDescriptor(fd, path, envFileMaximumBytes + 1);
      if (bytes.length > envFileMaximumBytes) throw new PodError(`it is larger than ${envFileMaximumBytes} bytes`);
      return bytes;
    } finally {
      close(fd);
    }
  } catch (cause) {
    throw new PodError(`read env file ${path}`, { cause });
  }
}

/** docker/cli opts.ParseEnvFile. */
function checkEnvLine(line: string): string {
  const [name = ""] = line.split("=", 1);
  if (/\s/.test(name)) throw new UsageError(`poorly formatted environment: variable '${name}' contains whitespaces`);
  return line;
}

function splitPair(pair: string): [string, string] {
  const at = pair.indexOf("=");
  return at === -1 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
}

function toHealth(
  { check, none, onFailure }: CreateOptions["health"],
  config: NonNullable<Image["config"]["config"]>,
): ContainerRecord["health"] {
  const merged = none ? undefined : mergeHealthcheck(check, config.Healthcheck);
  return merged && { check: merged, shell: config.Shell ?? ["/bin/sh", "-c"], onFailure };
}

/** Throws UsageError with Docker's text where it is none. */
export function checkName(name: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name) && name.length <= 255) return name;
  throw new UsageError(`Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
}

function toWorkingDir(path: string): string {
  if (!isAbsolute(path))
    throw new UsageError(`the working directory '${path}' is invalid, it needs to be an absolute path`);
  return normalize(path);
}

function checkExtraHost(text: string): string {
  const [name, ...address] = text.split(":");
  if (name && address.length && (address[0] === "host-gateway" || isAddress(address.join(":")))) return text;
  throw new UsageError(`bad format for add-host: "${text}"`, { hint: "name:address, like db:10.0.0.7" });
}

function isAddress(text: string): boolean {
  const bare = text.replace(/^\[(.*)\]$/, "$1");
  return /^(\d{1,3}\.){3}\d{1,3}$/.test(bare) || (bare.includes(":") && /^[0-9a-f:.]+$/i.test(bare));
}

const adjectives =
  "amber bold brave bright calm clever eager fair fond gentle glad happy jolly keen kind lively lucky merry mild neat noble proud quick quiet rapid ready sharp shiny smart snug sunny swift tidy vivid warm wise".split(
    " ",
  );
const nouns =
  "badger bear beaver crane deer dolphin eagle falcon finch fox gecko hare hawk heron ibex jay koala lark lemur lynx marten mole moose newt orca otter owl panda puffin raven robin seal shrew stoat swan tern vole wolf wren yak".split(
    " ",
  );

function randomName(): string {
  const pick = (words: string[]) => words[Math.floor(Math.random() * words.length)]!;
  return `${pick(adjectives)}_${pick(nouns)}_${Math.floor(Math.random() * 46656)
    .toString(36)
    .padStart(3, "0")}`;
}
