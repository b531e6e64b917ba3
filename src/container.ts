/** What pod does with containers: create, run, remove. The command line, and later the REST API, call these. */

import { config } from "./config.ts";
import { type CreateOptions, toRecord } from "./create.ts";
import { chooseDriver } from "./driver.ts";
import { endContainer, isActive, readDecided } from "./ending.ts";
import { ConflictError, NotFoundError, PodError, UsageError } from "./errors.ts";
import { ensureImage, type PullProgress } from "./image.ts";
import { hostName, toFiles } from "./name-files.ts";
import { toNetworking } from "./network-options.ts";
import { defaultNetwork } from "./networks.ts";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "./ns/sys/fs.ts";
import { repairContainers, waitForEnd } from "./repair.ts";
import {
  type Container,
  type ContainerRecord,
  type ContainerState,
  deleteContainer,
  findContainer,
  identify,
  idOfName,
  putContainer,
  readContainer,
} from "./storage/containers.ts";
import { holdLease, type Image } from "./storage/images.ts";
import { findNetwork } from "./storage/networks.ts";
import { canRun, partsOf } from "./storage/used.ts";

export type { CreateOptions } from "./create.ts";

const SIGKILL = 9;

/**
 * Makes a container of an image: its record and its files; nothing runs yet. `monitorPid` is the monitor that will run
 * it: should that be killed first, a `--rm` container still goes.
 */
export async function create(options: CreateOptions, progress: PullProgress, monitorPid?: number): Promise<Container> {
  const { cidFile } = options;
  if (cidFile === undefined) return make(options, progress, monitorPid);
  makeCidFile(cidFile);
  try {
    const container = await make(options, progress, monitorPid);
    writeFileSync(cidFile, container.record.id);
    return container;
  } catch (error) {
    rmSync(cidFile, { force: true });
    throw error;
  }
}

async function make(options: CreateOptions, progress: PullProgress, monitorPid?: number): Promise<Container> {
  const { image, lease } = await leaseImage(options, progress);
  try {
    const record = newRecord(options, image);
    const { id } = record;
    for (const { source } of record.binds) makeBindSource(source, progress);
    if (record.ports && record.network.mode === "host") {
      progress({ kind: "note", text: "published ports are discarded when using host network mode" });
    }
    if (options.replace) removeNamed(options.name);
    const monitor = monitorPid === undefined ? undefined : identify(monitorPid);
    putContainer(record, toFiles(record), ["upper", "work", "rootfs", "empty"], monitor);
    return readContainer(id)!;
  } finally {
    lease.release();
  }
}

/** What would be recorded; the id is a new one each time. */
export function newRecord(options: CreateOptions, image: Image): ContainerRecord {
  const id = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
  const driver = chooseDriver(options.storageDriver ?? config.storageDriver);
  const { container } = toNetworking(options.networking);
  const other = container === undefined ? undefined : findContainer(container).record; // whose network it shares
  const hostname = other?.hostname ?? hostName();
  const record = toRecord(options, image, { id, driver, hostname, variable: config.variable });
  if (other) record.network.container = other.id;
  for (const endpoint of record.network.endpoints ?? []) endpoint.network = networkName(endpoint.network);
  return record;
}

/** Of a network that is there: it may have been given by its id. Throws NotFoundError. */
function networkName(text: string): string {
  return text === defaultNetwork ? text : findNetwork(text).name;
}

/** Empty, before anything else is done, as Docker does. */
function makeCidFile(path: string): void {
  if (existsSync(path)) {
    throw new PodError(`container ID file found, make sure the other container isn't running or delete ${path}`);
  }
  try {
    writeFileSync(path, "", { flag: "wx" });
  } catch (cause) {
    throw new PodError("failed to create the container ID file", { cause });
  }
}

function removeNamed(name: string | undefined): void {
  if (name === undefined) throw new UsageError("cannot replace container without --name being set");
  const id = idOfName(name);
  if (id !== undefined) remove(id, { force: true });
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

/** Removes a container; with `force` also a running one, which gets SIGKILL. Throws ConflictError where it runs. */
export function remove(text: string, options: { force: boolean }): void {
  const container = readDecided(findThenRepair(text));
  if (!container) return; // it was a --rm container whose monitor had been killed
  const { record, state } = container;
  if (isActive(container)) {
    if (!options.force) throw new ConflictError(`cannot remove container "/${record.name}": ${inUse(state)}`);
    endContainer(record.id, SIGKILL, 10_000);
    waitForEnd(state.monitor!); // it cleans up
  }
  deleteContainer(record)(); // with --rm its monitor may have done so
}

function inUse({ paused, restarting }: ContainerState): string {
  if (paused) return "container is paused and must be unpaused first";
  return `container is ${restarting ? "restarting" : "running"}: stop the container before removing or force remove`;
}

/** The id. Found first, since repairing may remove it; and repaired also where there is none: killed commands leave more than records. */
function findThenRepair(text: string): string {
  try {
    return findContainer(text).record.id;
  } finally {
    repairContainers();
  }
}
