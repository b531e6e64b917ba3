/** What pod does with containers: create, run, remove. The command line, and later the REST API, call these. */

import { attach, awaitMessage, failureToError, monitorGone } from "./attach.ts";
import { config } from "./config.ts";
import { type CreateOptions, toRecord } from "./create.ts";
import { chooseDriver } from "./driver.ts";
import { ConflictError, hasCode, NotFoundError, PodError } from "./errors.ts";
import { encodeControl, FrameReader } from "./frames.ts";
import { ensureImage, type PullProgress } from "./image.ts";
import { slirpAddresses } from "./net/slirp4netns.ts";
import { writeAll } from "./ns/sys/descriptor.ts";
import { existsSync, mkdirSync, readFileSync } from "./ns/sys/fs.ts";
import { getTerminalAttributes, getWindowSize } from "./ns/sys/terminal.ts";
import { killProcess, repairContainers, waitForEnd } from "./repair.ts";
import { endedBySignals, releaseSignals } from "./signals.ts";
import {
  type Container,
  type ContainerRecord,
  deleteContainer,
  findContainer,
  identify,
  putContainer,
  readContainer,
} from "./storage/containers.ts";
import { holdLease } from "./storage/images.ts";
import { canRun, partsOf } from "./storage/used.ts";
import { takeMonitor, type WaitingMonitor } from "./waiting.ts";

export type { CreateOptions } from "./create.ts";

/** How the caller takes part in a run. */
export interface RunAttachment {
  /** Return as soon as the program runs. */
  detach: boolean;
  detachKeys: number[];
  sigProxy: boolean;
  /** Called with the id once the container exists. */
  onCreated?: (id: string) => void;
}

/**
 * Makes a container of an image: its record and its files; nothing runs yet. `monitorPid` is the monitor that will run
 * it: should that be killed first, a `--rm` container still goes.
 */
export async function create(options: CreateOptions, progress: PullProgress, monitorPid?: number): Promise<Container> {
  const { image, lease } = await leaseImage(options, progress);
  try {
    const id = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
    const driver = chooseDriver(options.storageDriver ?? config.storageDriver);
    const record = toRecord(options, image, { id, driver, hostname: hostName(), variable: config.variable });
    for (const { source } of record.binds) makeBindSource(source, progress);
    const monitor = monitorPid === undefined ? undefined : identify(monitorPid);
    putContainer(record, toFiles(record), ["upper", "work", "rootfs", "empty"], monitor);
    return readContainer(id)!;
  } finally {
    lease.release();
  }
}

/** The image, kept until the container's record names it. An `rmi` or `prune` beside this may be quicker: then once more. */
async function leaseImage(options: CreateOptions, progress: PullProgress) {
  for (let attempt = 0; ; attempt++) {
    const image = await ensureImage(options.image, options, progress);
    const lease = holdLease(partsOf(image));
    if (canRun(image)) return { image, lease };
    lease.release();
    if (attempt < 2) continue;
    const hint = "`pod pull` brings what is missing; `pod system check` tells what that is";
    throw new NotFoundError(`image ${options.image} is not complete`, { hint });
  }
}

/** As Docker does for `-v`: a missing source becomes an empty folder, which is the caller's. */
function makeBindSource(source: string, progress: PullProgress): void {
  if (existsSync(source)) return;
  try {
    mkdirSync(source, { recursive: true });
  } catch (cause) {
    throw new PodError(`make the missing bind source ${source}`, { cause });
  }
  progress({ kind: "note", text: `made the missing folder ${source}` });
}

/** The files of the container's folder that are bind-mounted into it. */
function toFiles(record: ContainerRecord): Record<string, string> {
  return {
    hostname: `${record.hostname}\n`,
    hosts: toHosts(record),
    "resolv.conf": toResolvConf(record),
  };
}

function hostName(): string {
  return readFileSync("/proc/sys/kernel/hostname", "utf8").trim();
}

function toHosts(record: ContainerRecord): string {
  const own = record.network.mode === "slirp4netns" ? slirpAddresses.container : "127.0.1.1";
  const extra = record.extraHosts.map((entry) => {
    const at = entry.indexOf(":");
    return `${entry.slice(at + 1).replace(/^\[(.*)\]$/, "$1")}\t${entry.slice(0, at)}`;
  });
  const names = record.hostname === hostName() ? [record.hostname] : [record.hostname, record.name];
  return `${[
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "ff00::0\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
    ...extra,
    `${own}\t${names.join(" ")}`,
  ].join("\n")}\n`;
}

/** slirp4netns answers for the host's resolvers, loopback ones too; search domains and options stay the host's. */
function toResolvConf(record: ContainerRecord): string {
  const host = existsSync("/etc/resolv.conf") ? readFileSync("/etc/resolv.conf", "utf8") : "";
  if (record.network.mode !== "slirp4netns") return host;
  const kept = host.split("\n").filter((line) => /^\s*(search|domain|options)\s/.test(line));
  return `${[`nameserver ${slirpAddresses.dns}`, ...kept].join("\n")}\n`;
}

/** Creates a container and runs it. Resolves when it has ended, or runs detached. Throws where it can't be started. */
export async function run(
  options: CreateOptions,
  attachment: RunAttachment,
  progress: PullProgress,
): Promise<{ id: string; exitCode: number }> {
  if (options.tty && options.interactive && !attachment.detach && !getTerminalAttributes(0)) {
    throw new PodError("cannot attach stdin to a TTY-enabled container because stdin is not a terminal");
  }
  const monitor = takeMonitor();
  const { record } = await endedBySignals(create(options, progress, monitor.pid));
  attachment.onCreated?.(record.id);
  const exitCode = launch(monitor, record, attachment);
  return { id: record.id, exitCode };
}

function launch(monitor: WaitingMonitor, record: ContainerRecord, attachment: RunAttachment): number {
  const { tty, openStdin } = record.process;
  if (attachment.detach) releaseSignals();
  const windowSize = tty ? (getWindowSize(0) ?? getWindowSize(1)) : undefined;
  const message = {
    kind: "launch",
    id: record.id,
    attach: !attachment.detach,
    windowSize,
  } as const;
  try {
    writeAll(monitor.fd, encodeControl(message));
  } catch (error) {
    throw hasCode(error, "EPIPE") ? monitorGone() : error;
  }
  if (attachment.detach) {
    const answer = awaitMessage(monitor.fd, new FrameReader());
    if (answer.kind === "failed") throw failureToError(answer);
    return 0;
  }
  const { detachKeys, sigProxy } = attachment;
  const result = attach(monitor.fd, { tty, interactive: openStdin, sigProxy, detachKeys }, () => {});
  return result.kind === "exited" ? result.exitCode : 0;
}

/** Removes a container; with `force` also a running one, which gets SIGKILL. Throws ConflictError where it runs. */
export function remove(text: string, options: { force: boolean }): void {
  const container = readContainer(findThenRepair(text));
  if (!container) return; // it was a --rm container whose monitor had been killed
  const { record, state } = container;
  if (state.status === "running") {
    if (!options.force) {
      throw new ConflictError(
        `cannot remove container "/${record.name}": container is running: stop the container before removing or force remove`,
      );
    }
    if (state.init) killProcess(state.init);
    if (state.monitor) waitForEnd(state.monitor);
  }
  deleteContainer(record)(); // with --rm its monitor may have done so
}

/** The id. Found first, since repairing may remove it; and repaired also where there is none: killed commands leave more than records. */
function findThenRepair(text: string): string {
  try {
    return findContainer(text).record.id;
  } finally {
    repairContainers();
  }
}
