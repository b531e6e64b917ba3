/** The options of `run` and what they ask for. It loads nothing that starts threads: help needs it before a namespace is entered. */

import type { OptionDefs, Options } from "../args.ts";
import { config } from "../config.ts";
import type { CreateOptions } from "../create.ts";
import { UsageError } from "../errors.ts";
import { healthActions, parsePeriod, parseRetries } from "../health.ts";
import { parseLogConfig } from "../log-options.ts";
import { parseDevice } from "../mounts/device-option.ts";
import { parseMount } from "../mounts/mount-option.ts";
import { parseSecret } from "../mounts/secret-option.ts";
import { formatPlatform, parsePlatform } from "../platform.ts";
import { parseExpose, parsePublish } from "../port-options.ts";
import { parseSignalName } from "../signal-names.ts";
import { parseUserns } from "../userns-option.ts";
import { parseBytes, parseInteger } from "../values.ts";

/** What a container is made with: `run` has it, and every other command that makes one. */
export const createArgs = {
  "add-host": {
    type: "string",
    multiple: true,
    parse: parseExtraHost,
    description: "Add a custom host-to-IP mapping (host:ip)",
  },
  cidfile: { type: "string", description: "Write the container ID to the file" },
  device: {
    type: "string",
    multiple: true,
    parse: parseDevice,
    description: "Add a host device to the container (host[:container])",
  },
  dns: { type: "string", multiple: true, description: "Set custom DNS servers" },
  "dns-option": { type: "string", alias: "dns-opt", multiple: true, description: "Set DNS options" },
  "dns-search": { type: "string", multiple: true, description: "Set custom DNS search domains" },
  expose: { type: "string", multiple: true, parse: parseExpose, description: "Expose a port or a range of ports" },
  entrypoint: { type: "string", description: "Overwrite the default ENTRYPOINT of the image" },
  env: { type: "string", alias: "e", multiple: true, description: "Set environment variables" },
  "env-file": { type: "string", multiple: true, description: "Read in a file of environment variables" },
  "health-cmd": { type: "string", description: "Command to run to check health" },
  "health-interval": { type: "string", parse: parsePeriod, description: "Time between running the check (ms|s|m|h)" },
  "health-on-failure": {
    type: "string",
    default: "none",
    valueHint: "action",
    parse: parseHealthAction,
    description: `What to do with a container that has become unhealthy: ${healthActions.join(", ")}`,
  },
  "health-retries": {
    type: "string",
    parse: parseRetries,
    description: "Consecutive failures needed to report unhealthy",
  },
  "health-start-interval": {
    type: "string",
    parse: parsePeriod,
    description: "Time between running the check during the start period (ms|s|m|h)",
  },
  "health-start-period": {
    type: "string",
    parse: parsePeriod,
    description: "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)",
  },
  "health-timeout": {
    type: "string",
    parse: parsePeriod,
    description: "Maximum time to allow one check to run (ms|s|m|h)",
  },
  hostname: { type: "string", alias: "h", description: "Container host name" },
  init: { type: "boolean", description: "Run an init inside the container that forwards signals and reaps processes" },
  interactive: { type: "boolean", alias: "i", description: "Keep STDIN open even if not attached" },
  ip: { type: "string", description: "IPv4 address (e.g., 172.30.100.104)" },
  ip6: { type: "string", description: "IPv6 address (e.g., 2001:db8::33)" },
  label: { type: "string", alias: "l", multiple: true, parse: parseLabel, description: "Set meta data on a container" },
  "log-driver": {
    type: "string",
    default: "local",
    description: "Logging driver for the container: local, json-file or none",
  },
  "log-opt": {
    type: "string",
    multiple: true,
    valueHint: "name=value",
    description: "Log driver options: max-size=SIZE, max-file=NUMBER",
  },
  mount: {
    type: "string",
    multiple: true,
    parse: parseMount,
    description: "Attach a filesystem mount to the container: type=bind|volume|tmpfs|image,source=…,target=…",
  },
  "mac-address": { type: "string", description: "Container MAC address (e.g., 92:d0:c6:0a:29:33)" },
  name: { type: "string", description: "Assign a name to the container" },
  network: {
    type: "string",
    alias: "net",
    multiple: true,
    valueHint: "network",
    description: "Connect a container to a network, bridge by default; or none, host, slirp4netns, pasta",
  },
  "network-alias": {
    type: "string",
    alias: "net-alias",
    multiple: true,
    description: "Add network-scoped alias for the container",
  },
  "no-healthcheck": { type: "boolean", description: "Disable any container-specified HEALTHCHECK" },
  platform: {
    type: "string",
    parse: (text: string) => formatPlatform(parsePlatform(text)),
    description: "Set platform if the image has several, like linux/arm64",
  },
  publish: {
    type: "string",
    alias: "p",
    multiple: true,
    parse: parsePublish,
    description: "Publish a container's port(s) to the host ([ip:][host port:]port[/tcp|udp])",
  },
  "publish-all": { type: "boolean", alias: "P", description: "Publish all exposed ports to random ports" },
  pull: {
    type: "string",
    parse: parsePull,
    default: "missing",
    description: 'Pull image before running ("always", "missing", "never")',
  },
  quiet: { type: "boolean", alias: "q", description: "Suppress the pull output" },
  "read-only": { type: "boolean", description: "Mount the container's root filesystem as read only" },
  "read-only-tmpfs": {
    type: "boolean",
    default: true,
    description: "With --read-only: mount a writable tmpfs on /run, /tmp and /var/tmp",
  },
  replace: { type: "boolean", description: "If a container with the same name exists, replace it" },
  restart: {
    type: "string",
    default: "no",
    valueHint: "policy",
    description: "Restart policy to apply when a container exits: no, on-failure[:max], always or unless-stopped",
  },
  rm: { type: "boolean", description: "Automatically remove the container when it exits" },
  secret: {
    type: "string",
    multiple: true,
    parse: parseSecret,
    description: "Give a secret to the container, as a file in /run/secrets (name[,target=…,uid=…,gid=…,mode=…])",
  },
  "shm-size": { type: "string", valueHint: "bytes", parse: parseBytes, description: "Size of /dev/shm" },
  "stop-signal": { type: "string", parse: parseSignalName, description: "Signal to stop the container" },
  "stop-timeout": { type: "string", parse: parseInteger, description: "Timeout (in seconds) to stop a container" },
  "storage-driver": { type: "string", description: "Storage driver: overlay, fuse-overlayfs, btrfs, vfs or auto" },
  tmpfs: { type: "string", multiple: true, description: "Mount a tmpfs directory" },
  tty: { type: "boolean", alias: "t", description: "Allocate a pseudo-TTY" },
  user: { type: "string", alias: "u", description: "Username or UID (format: <name|uid>[:<group|gid>])" },
  userns: {
    type: "string",
    default: "",
    parse: parseUserns,
    description:
      "User namespace to use: keep-id[:uid=,gid=], auto[:size=,uidmapping=,gidmapping=], or caller, which makes the image's user you",
  },
  volume: {
    type: "string",
    alias: "v",
    multiple: true,
    description: "Mount a folder of the host, or a volume ([source:]destination[:options])",
  },
  "volumes-from": { type: "string", multiple: true, description: "Mount volumes from the specified container(s)" },
  workdir: { type: "string", alias: "w", description: "Working directory inside the container" },
} satisfies OptionDefs;

/** What docker and podman have besides. */
export const laterFlags = [
  "annotation attach a blkio-weight blkio-weight-device cap-add cap-drop cgroup-conf cgroup-parent cgroupns cgroups conmon-pidfile",
  "cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares c cpus cpuset-cpus cpuset-mems device-cgroup-rule",
  "device-read-bps device-read-iops device-write-bps device-write-iops disable-content-trust",
  "domainname gidmap gpus group-add hostuser ipc label-file link link-local-ip memory m",
  "memory-reservation memory-swap memory-swappiness no-hosts oom-kill-disable oom-score-adj",
  "passwd pid pids-limit pod privileged requires rootfs runtime security-opt storage-opt",
  "subgidname subuidname sysctl systemd timeout tls-verify tz uidmap ulimit umask unsetenv uts volume-driver",
].flatMap((line) => line.split(" "));

const operandArgs = {
  image: { type: "positional" },
  command: { type: "positional", required: false },
  arg: { type: "positional", required: false, multiple: true },
} satisfies OptionDefs;

export const createCommandArgs = { ...createArgs, ...operandArgs } satisfies OptionDefs;

export const runArgs = {
  ...createArgs,
  detach: { type: "boolean", alias: "d", description: "Run container in background and print container ID" },
  "detach-keys": {
    type: "string",
    default: "ctrl-p,ctrl-q",
    description: "Override the key sequence for detaching a container",
  },
  explain: { type: "boolean", description: "Run nothing: print what would be done, step by step" },
  format: { type: "string", description: "Of --explain: 'json' or a Go template" },
  "sig-proxy": { type: "boolean", default: true, description: "Proxy received signals to the process" },
  ...operandArgs,
} satisfies OptionDefs;

/** The options complete, with what the environment adds. `detach`: nobody will attach at the start. `operands` are the image and its command. Throws UsageError in Docker's words. */
export function toCreateOptions(
  options: Options<typeof createArgs>,
  operands: string[],
  { detach }: { detach: boolean },
): CreateOptions {
  const [image = "", ...command] = operands;
  if (options.hostname !== undefined) checkHostname(options.hostname);
  return {
    image,
    command,
    name: options.name,
    env: options.env,
    envFiles: options.envFile,
    binds: options.volume,
    mounts: [...options.mount, ...options.device, ...options.secret],
    volumesFrom: options.volumesFrom,
    userns: options.userns,
    workdir: options.workdir,
    user: options.user,
    entrypoint: options.entrypoint,
    hostname: options.hostname,
    networking: {
      networks: options.network,
      ip: options.ip,
      ip6: options.ip6,
      mac: options.macAddress,
      aliases: options.networkAlias,
      dns: options.dns,
      dnsSearch: options.dnsSearch,
      dnsOptions: options.dnsOption,
    },
    ports: options.publish.flat(),
    expose: options.expose.flat(),
    publishAll: options.publishAll,
    readOnly: options.readOnly,
    readOnlyTmpfs: options.readOnlyTmpfs,
    tmpfs: options.tmpfs,
    shmSizeBytes: options.shmSize,
    init: options.init,
    pull: options.pull,
    platform: options.platform ?? config.defaultPlatform,
    labels: options.label,
    addHosts: options.addHost,
    storageDriver: options.storageDriver,
    tty: options.tty,
    interactive: options.interactive,
    autoRemove: options.rm,
    restart: options.restart,
    health: toHealthOptions(options),
    log: parseLogConfig(options.logDriver, options.logOpt),
    replace: options.replace,
    cidFile: options.cidfile,
    stopSignal: options.stopSignal,
    stopTimeoutSeconds: options.stopTimeout,
    detach,
  };
}

function toHealthOptions(options: Options<typeof createArgs>): CreateOptions["health"] {
  const check = {
    Test: options.healthCmd === undefined ? undefined : ["CMD-SHELL", options.healthCmd],
    Interval: options.healthInterval,
    Timeout: options.healthTimeout,
    StartPeriod: options.healthStartPeriod,
    StartInterval: options.healthStartInterval,
    Retries: options.healthRetries,
  };
  if (options.noHealthcheck && Object.values(check).some((value) => value !== undefined)) {
    throw new UsageError("--no-healthcheck conflicts with --health-* options");
  }
  return { check, none: options.noHealthcheck, onFailure: options.healthOnFailure };
}

function parseHealthAction(text: string): CreateOptions["health"]["onFailure"] {
  const action = healthActions.find((each) => each === text);
  if (action) return action;
  throw new UsageError(`must be one of ${healthActions.join(", ")}`);
}

const pullPolicies = ["always", "missing", "never"] as const;

function parsePull(text: string): CreateOptions["pull"] {
  const policy = pullPolicies.find((each) => each === text);
  if (policy) return policy;
  throw new UsageError(`invalid pull option: '${text}': must be one of "always", "missing" or "never"`);
}

/** docker/cli opts.ValidateLabel. */
function parseLabel(text: string): string {
  const key = text.split("=", 1)[0]!.trimStart();
  if (!key) throw new UsageError(`invalid label '${text}': empty name`);
  if (/\s/.test(key)) throw new UsageError(`label '${key}' contains whitespaces`);
  return text;
}

/** docker/cli opts.ValidateExtraHost: `host:ip` or `host=ip`, brackets around the address allowed. Returns `host:ip`. */
function parseExtraHost(text: string): string {
  const [, name, bracketed] = text.match(/^([^=:\s]+)[=:]([\s\S]*)$/) ?? [];
  if (!name || bracketed === undefined) throw new UsageError(`bad format for add-host: ${JSON.stringify(text)}`);
  const address = bracketed.replace(/^\[([\s\S]+)\]$/, "$1");
  if (address !== "host-gateway" && !isAddress(address))
    throw new UsageError(`invalid IP address in add-host: ${JSON.stringify(address)}`);
  return `${name}:${address}`;
}

function isAddress(text: string): boolean {
  const octets = text.match(/^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/)?.slice(1);
  if (octets) return octets.every((octet) => Number(octet) <= 255);
  return text.includes(":") && URL.canParse(`http://[${text}]/`);
}

/** As Docker: letters, digits, hyphens and dots, 63 characters for a label (RFC 1123). */
function checkHostname(name: string): void {
  const label = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
  if (!new RegExp(`^${label}(\\.${label})*\\.?$`).test(name)) throw new UsageError(`invalid hostname format: ${name}`);
}
