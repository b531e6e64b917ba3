/** The user's options and the image's configuration as a container record: Docker's rules of what overrides what. */

import { isAbsolute, normalize, resolve } from "node:path";
import { PodError, UsageError } from "./errors.ts";
import { type HealthAction, type Healthcheck, mergeHealthcheck } from "./health.ts";
import type { LogConfig } from "./log-options.ts";
import { type NetworkingOptions, toNetworking } from "./network-options.ts";
import { existsSync, readFileSync } from "./ns/sys/fs.ts";
import { publishExposed } from "./port-options.ts";
import type { ContainerRecord, PortBinding } from "./storage/containers.ts";
import type { DriverName } from "./storage/drivers.ts";
import type { Image } from "./storage/images.ts";
import { chainIds } from "./storage/layers.ts";

export interface CreateOptions {
  image: string;
  command: string[];
  name?: string;
  /** `NAME=value`, or `NAME` for the caller's value. */
  env: string[];
  envFiles: string[];
  /** `-v` as given. */
  binds: string[];
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
  readOnly: boolean;
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

/** `variable` gives the caller's environment. Throws UsageError and PodError with Docker's texts. */
export function toRecord(
  options: CreateOptions,
  image: Image,
  /** `hostname`: of whom it shares the network with. */
  host: { id: string; driver: DriverName; hostname: string; variable: (name: string) => string | undefined },
): ContainerRecord {
  const network = toNetworking(options.networking);
  if (network.container !== undefined) checkGuest(options);
  const config = image.config.config ?? {};
  const { entrypoint, command } = toCommand(options, config);
  const published = options.ports.map(({ port, protocol }) => `${port}/${protocol}`);
  const exposedPorts = [...new Set([...Object.keys(config.ExposedPorts ?? {}), ...options.expose, ...published])];
  const ports = [...options.ports, ...(options.publishAll ? publishExposed(exposedPorts, options.ports) : [])];
  const name = checkName(options.name ?? randomName());
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
      user: options.user ?? config.User ?? "",
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
    binds: options.binds.map(parseBind),
    tmpfs: options.tmpfs.map(parseTmpfs),
  };
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
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new PodError(`read env file ${path}`, { cause });
  }
  return text
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line && !line.startsWith("#"))
    .map(checkEnvLine);
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

/** `source:destination[:ro|rw]`. A relative source belongs to the current directory. */
export function parseBind(text: string): ContainerRecord["binds"][number] {
  const [source, destination, options = "rw", ...rest] = text.split(":");
  if (text.startsWith("/") && destination === undefined)
    throw new UsageError(`anonymous volumes are not supported yet: ${text}`);
  if (!source || !destination || rest.length) throw new UsageError(`invalid volume specification: '${text}'`);
  if (!isAbsolute(destination) || normalize(destination) === "/") {
    throw new UsageError(
      `invalid volume specification: '${text}': invalid mount path: '${destination}' must be absolute, and not /`,
    );
  }
  if (!/^[./~]/.test(source)) {
    throw new UsageError(`named volumes are not supported yet: ${source}`, {
      hint: "give a path: ./NAME or /absolute/NAME",
    });
  }
  const words = options.split(",");
  const unknown = words.find((word) => !["ro", "rw"].includes(word) && !isRelabeling(word));
  if (unknown !== undefined) throw new UsageError(`invalid mode: ${unknown} in '${text}'; ro and rw are supported`);
  return { source: resolve(source), destination: normalize(destination), readonly: words.includes("ro") };
}

/** SELinux's labels: where there is no SELinux there is nothing to do, as with Docker. */
function isRelabeling(word: string): boolean {
  return ["z", "Z"].includes(word) && !existsSync("/sys/fs/selinux/enforce");
}

/** Docker's defaults for `--tmpfs`: closed for devices, setuid and programs, open for everybody to write. */
export function parseTmpfs(text: string): ContainerRecord["tmpfs"][number] {
  const at = text.indexOf(":");
  const destination = at === -1 ? text : text.slice(0, at);
  const given = at === -1 ? [] : text.slice(at + 1).split(",");
  if (!isAbsolute(destination)) throw new UsageError(`invalid tmpfs mount '${text}': the path must be absolute`);
  const known =
    /^(ro|rw|(no)?(suid|dev|exec)|relatime|strictatime|mode=[0-7]{1,4}|(size|nr_inodes)=\d+[kmg]?%?|(uid|gid)=\d+)$/i;
  const unknown = given.find((option) => !known.test(option));
  if (unknown) throw new UsageError(`invalid tmpfs option ["${unknown}"]`);
  const defaults = ["nosuid", "nodev", "noexec"].filter((option) => !given.includes(option.slice(2)));
  return { destination: normalize(destination), options: [...new Set([...defaults, ...given])] };
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
