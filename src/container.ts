/** What pod does with containers: create, run, remove. The command line, and later the REST API, call these. */

import { freeIds, withIdsLock } from "./auto-ids.ts";
import { config } from "./config.ts";
import { type CreateOptions, toRecord } from "./create.ts";
import { chooseDriver } from "./driver.ts";
import { deleteAtRest, endContainer, isActive, readDecided } from "./ending.ts";
import { ConflictError, DamagedContainerError, ImageGoneError, NotFoundError, PodError, UsageError } from "./errors.ts";
import { ensureImage, type PullProgress } from "./image.ts";
import { readySource } from "./mounts/sources.ts";
import { hostName, toFiles } from "./name-files.ts";
import { toNetworking } from "./network-options.ts";
import { defaultNetwork } from "./networks.ts";
import { removeCgroupOf } from "./ns/cgroup.ts";
import { existsSync, rmSync, writeFileSync } from "./ns/sys/fs.ts";
import { resolveUser } from "./ns/user.ts";
import { killProcess, repairContainer, waitForEnd } from "./repair.ts";
import { deleteContainer, deleteDamaged } from "./storage/container-deletion.ts";
import { type ContainerMount, volumesOf } from "./storage/container-mount.ts";
import { type ContainerState, identify, isAlive, readTrueState } from "./storage/container-state.ts";
import {
  type Container,
  type ContainerRecord,
  findContainer,
  idOfName,
  putContainer,
  requireContainer,
} from "./storage/containers.ts";
import { readInImage } from "./storage/image-files.ts";
import { holdLease, type Image } from "./storage/images.ts";
import { findNetwork } from "./storage/networks.ts";
import { findSecret } from "./storage/secrets.ts";
import { paths } from "./storage/store.ts";
import { canRun, partsOf } from "./storage/used.ts";
import { deleteContainerAndVolumes, newVolumeName, putVolumes, withVolumesLock } from "./storage/volumes.ts";

export type { CreateOptions } from "./create.ts";
export { repairContainers } from "./repair.ts";

const SIGKILL = 9;

/**
 * Makes a container of an image: its record and its files; nothing runs yet. `prepareMonitor` gives the pid of the
 * monitor that will run it: should that be killed first, a `--rm` container still goes.
 */
export async function create(
  options: CreateOptions,
  progress: PullProgress,
  prepareMonitor?: () => number,
): Promise<Container> {
  const { cidFile } = options;
  if (cidFile === undefined) return make(options, progress, prepareMonitor);
  makeCidFile(cidFile);
  try {
    const container = await make(options, progress, prepareMonitor);
    writeFileSync(cidFile, container.record.id);
    return container;
  } catch (error) {
    rmSync(cidFile, { force: true });
    throw error;
  }
}

async function make(options: CreateOptions, progress: PullProgress, prepareMonitor?: () => number): Promise<Container> {
  const leases: { release(): void }[] = [];
  const leased = async (reference: string) => {
    const { image, lease } = await leaseImage({ ...options, image: reference }, progress);
    leases.push(lease);
    return image;
  };
  try {
    const image = await leased(options.image);
    const mounted = new Map<string, Image>();
    for (const mount of options.mounts) {
      if (mount.type === "image") mounted.set(mount.reference, await leased(mount.reference));
    }
    const record = newRecord(options, image, (reference) => mounted.get(reference)!);
    if (record.userns) noteCost(record, progress);
    readySources(record.mounts, progress);
    if (record.ports && record.network.mode === "host") {
      progress({ kind: "note", text: "published ports are discarded when using host network mode" });
    }
    if (options.replace) removeNamed(options.name);
    const monitor = prepareMonitor && identify(prepareMonitor());
    const put = () =>
      putWithVolumes(record, () =>
        putContainer(record, toFiles(record), ["upper", "work", "rootfs", "empty"], monitor),
      );
    putWithIds(record, options.userns, image, put);
    return requireContainer(record.id); // another command may have removed it
  } finally {
    for (const lease of leases) lease.release();
  }
}

/** Once for a store. */
function noteCost({ driver }: ContainerRecord, progress: PullProgress): void {
  if (existsSync(paths.usernsNoted)) return;
  writeFileSync(paths.usernsNoted, "");
  const what = driver === "overlay" ? "the image's files" : "ids";
  progress({
    kind: "note",
    text: `--userns maps ${what} by fuse-overlayfs, which is slower than the kernel's overlay`,
  });
}

/** The ids of `--userns auto` are chosen anew, since another command may have been quicker. */
function putWithIds(record: ContainerRecord, wish: CreateOptions["userns"], image: Image, put: () => void): void {
  if (wish?.mode !== "auto") return put();
  withIdsLock(() => {
    record.userns = freeIds(wish, image, record.process.user);
    put();
  });
}

/** Volumes come second: should this process end between the two, the first start makes them (container-mounts.ts). */
function putWithVolumes(record: ContainerRecord, put: () => void): void {
  if (volumesOf(record).length === 0) return put();
  withVolumesLock(() => {
    put();
    try {
      putVolumes(record.mounts);
    } catch (error) {
      deleteContainer(record)();
      throw error;
    }
  });
}

/** What would be recorded; ids are new ones each time. `findMounted` finds the images that `--mount` names. */
export function newRecord(
  options: CreateOptions,
  image: Image,
  findMounted: (reference: string) => Image,
): ContainerRecord {
  const id = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
  const { storageDriver, userns } = options;
  if (userns && userns.mode !== "auto" && config.isHostRoot)
    throw new UsageError(`user namespace mode ${userns.mode} is for rootless users`);
  const { container } = toNetworking(options.networking);
  const other = container === undefined ? undefined : findContainer(container).record; // whose network it shares
  const record = toRecord(options, image, {
    id,
    driver: chooseDriver(storageDriver ?? config.storageDriver),
    hostname: other?.hostname ?? hostName(),
    variable: config.variable,
    image: findMounted,
    mountsOf: (container) => findContainer(container).record.mounts,
    newVolumeName,
    ids: config,
    imageUser: (user) => resolveUser(user, readInImage(image, "etc/passwd"), readInImage(image, "etc/group")),
    freeIds: (wish, user) => freeIds(wish, image, user, options.replace ? options.name : undefined),
  });
  if (other) record.network.container = other.id;
  for (const endpoint of record.network.endpoints ?? []) endpoint.network = networkName(endpoint.network);
  return record.userns ? { ...record, driver: mappingDriver(record, storageDriver) } : record;
}

/** Of a network that is there: it may have been given by its id. Throws NotFoundError. */
function networkName(text: string): string {
  return text === defaultNetwork ? text : findNetwork(text).name;
}

/** The others would have to copy all files, for each container. */
function mappingDriver({ driver, userns }: ContainerRecord, asked: string | undefined): ContainerRecord["driver"] {
  if (driver === "overlay" || driver === "fuse-overlayfs") return driver;
  if (asked !== driver) return "fuse-overlayfs";
  throw new UsageError(
    `user namespace mode ${userns!.mode} needs the storage driver overlay or fuse-overlayfs, not ${asked}`,
  );
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
  if (id === undefined) return;
  try {
    remove(id, { force: true });
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error; // another command was quicker
  }
}

const retries = 4;

/** The image, kept until the container's record names it. An `rmi` or `prune` beside this may be quicker: then once more. */
async function leaseImage(options: CreateOptions, progress: PullProgress) {
  for (let attempt = 0; ; attempt++) {
    const image = await ensureImage(options.image, options, progress).catch((error) => {
      if (error instanceof ImageGoneError && attempt < retries) return undefined;
      throw error;
    });
    if (!image) continue;
    const lease = holdLease(partsOf(image));
    if (canRun(image)) return { image, lease };
    lease.release();
    if (attempt < retries) continue;
    const hint = "`pod pull` brings what is missing; `pod system check` tells what that is";
    throw new NotFoundError(`image ${options.image} is not complete`, { hint });
  }
}

/** Before anything is recorded. */
function readySources(mounts: ContainerMount[], progress: PullProgress): void {
  for (const mount of mounts) {
    if (mount.type === "secret") findSecret(mount.name);
    if (mount.type !== "bind" || !readySource(mount)) continue;
    progress({ kind: "note", text: `made the missing folder ${mount.source}` });
  }
}

/**
 * Removes a container; with `force` also a running one, which gets SIGKILL, and with `volumes` those that nobody has named.
 * Throws ConflictError where it runs.
 */
export function remove(text: string, options: { force: boolean; volumes?: boolean }): void {
  let found: Container;
  try {
    found = findContainer(text);
  } catch (error) {
    if (error instanceof DamagedContainerError) return removeDamaged(error, options);
    throw error;
  }
  repairContainer(found);
  const { id } = found.record;
  do {
    const container = readDecided(id);
    if (!container) return; // it was a --rm container whose monitor had been killed
    if (isActive(container)) end(container, options.force);
  } while (!deleteAtRest(id, options.volumes ? deleteContainerAndVolumes : deleteContainer));
}

function end({ record, state }: Container, force: boolean): void {
  if (!force) throw new ConflictError(`cannot remove container "/${record.name}": ${inUse(state)}`);
  endContainer(record.id, SIGKILL, 10_000);
  waitForEnd(state.monitor!); // it cleans up
  removeCgroupOf(state.monitor!.pid, state.cgroup); // unless it had to be killed
}

/** Nobody knows its name, nor how to end it; its processes are known. */
function removeDamaged(error: DamagedContainerError, { force }: { force: boolean }): void {
  const { id } = error;
  const state = readTrueState(id);
  for (const identity of [state?.init, state?.monitor]) {
    if (!identity || !isAlive(identity)) continue;
    if (!force) throw new ConflictError(`cannot remove container ${id.slice(0, 12)}: it runs`, { cause: error });
    killProcess(identity);
  }
  if (state?.monitor) removeCgroupOf(state.monitor.pid, state.cgroup);
  deleteDamaged(id)();
}

function inUse({ paused, restarting }: ContainerState): string {
  if (paused) return "container is paused and must be unpaused first";
  return `container is ${restarting ? "restarting" : "running"}: stop the container before removing or force remove`;
}
