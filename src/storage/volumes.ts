/** Volumes: `volumes/<name>/` holds the files in `_data/` and what is known of them in `volume.json`. */

import { join } from "node:path";
import { ConflictError, type DamagedContainerError, hasCode, NotFoundError, PodError, UsageError } from "../errors.ts";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "../ns/sys/fs.ts";
import { deleteContainer } from "./container-deletion.ts";
import { type ContainerMount, volumesOf } from "./container-mount.ts";
import { type ContainerRecord, listContainers } from "./containers.ts";
import { recordVolumeEvent } from "./events.ts";
import { makeTemporaryDir, readJson, removeTree, withLock, withReserve, writeFileAtomic } from "./files.ts";
import { paths } from "./store.ts";

/** `volume.json`. */
export interface VolumeRecord {
  version: 1;
  name: string;
  /** RFC 3339, UTC. */
  created: string;
  labels: Record<string, string>;
}

/** Docker's mark of a volume that nobody has named. */
export const anonymousLabel = "com.docker.volume.anonymous";

export function isAnonymous({ labels }: VolumeRecord): boolean {
  return Object.hasOwn(labels, anonymousLabel);
}

/** 64 hexadecimal digits, as Docker names those that nobody has named. */
export function newVolumeName(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
}

const nameMaximum = 255; // NAME_MAX: it is a folder's

/** Throws UsageError with Docker's text where it is none. */
export function checkVolumeName(name: string): string {
  if (name.length === 1) {
    throw new UsageError("volume name is too short, names should be at least two alphanumeric characters");
  }
  if (name.length > nameMaximum) {
    throw new UsageError(`volume name is too long: it has ${name.length} characters, and ${nameMaximum} are the most`);
  }
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name)) return name;
  throw new UsageError(
    `create ${name}: ${JSON.stringify(name)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
  );
}

/** Where its files are. */
export function volumeData(name: string): string {
  return join(volumeDir(name), "_data");
}

export function volumeDir(name: string): string {
  return join(paths.volumes, name);
}

/** All volumes, by name. */
export function listVolumes(): VolumeRecord[] {
  return readdirSync(paths.volumes)
    .toSorted()
    .map(readVolume)
    .filter((volume) => volume !== undefined);
}

/** Undefined where there is none. What a power cut has left of its record is enough: the files are what counts. */
export function readVolume(name: string): VolumeRecord | undefined {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) || !existsSync(volumeDir(name))) return undefined;
  try {
    const record = readJson<VolumeRecord>(join(volumeDir(name), "volume.json"));
    if (record?.labels) return record;
  } catch (error) {
    if (!(error instanceof PodError)) throw error;
  }
  try {
    return { version: 1, name, created: new Date(lstatSync(volumeDir(name)).mtimeMs).toISOString(), labels: {} };
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined; // removed meanwhile
    throw error;
  }
}

/** Throws NotFoundError with Docker's text where there is none. */
export function findVolume(name: string): VolumeRecord {
  const volume = readVolume(name);
  if (volume) return volume;
  throw new NotFoundError(`get ${name}: no such volume`);
}

/** Makes a volume, which appears whole; one that is there stays as it is. */
export function putVolume(name: string, labels: Record<string, string>): void {
  checkVolumeName(name);
  if (existsSync(volumeDir(name))) return;
  const temporary = makeTemporaryDir();
  try {
    const record: VolumeRecord = { version: 1, name, created: new Date().toISOString(), labels };
    const file = join(temporary, "volume.json");
    if (isAnonymous(record)) writeFileSync(file, JSON.stringify(record));
    else writeFileAtomic(file, JSON.stringify(record)); // synced: it is to survive a power cut
    mkdirSync(join(temporary, "_data"));
    chmodSync(join(temporary, "_data"), 0o755); // whatever the caller's umask
    renameSync(temporary, volumeDir(name));
    recordVolumeEvent("create", name);
  } catch (error) {
    removeTree(temporary);
    if (!hasCode(error, "EEXIST", "ENOTEMPTY")) throw error; // another command was quicker
  }
}

/** Makes those that are missing of the volumes that a container needs. */
export function putVolumes(mounts: ContainerMount[]): void {
  for (const mount of mounts) {
    if (mount.type !== "volume") continue;
    putVolume(mount.name, { ...mount.labels, ...(mount.anonymous && { [anonymousLabel]: "" }) });
  }
}

/** Held while what uses volumes is recorded, and while one is removed: so that none goes that a record names. For short work only. */
export function withVolumesLock<T>(action: () => T): T {
  return withLock("volumes", action);
}

/** Ids of the containers that use each volume. Throws where nobody knows what one uses, unless `onDamaged` is told. */
export function volumeUsers(onDamaged?: (error: DamagedContainerError) => void): Map<string, string[]> {
  const users = new Map<string, string[]>();
  for (const { record } of listContainers(undefined, onDamaged)) {
    for (const name of volumesOf(record)) users.set(name, [...(users.get(name) ?? []), record.id]);
  }
  return users;
}

/**
 * Removes a volume: it disappears in one moment. The function that comes back deletes its files. Throws NotFoundError, and
 * ConflictError where a container uses it, both with Docker's texts.
 */
export function deleteVolume(name: string): () => void {
  return withVolumesLock(() => {
    findVolume(name);
    const users = volumeUsers().get(name);
    if (users) throw new ConflictError(`remove ${name}: volume is in use - [${users.join(", ")}]`);
    return takeAway([name]);
  });
}

/** The same for all that `select` chooses of those that no container uses. */
export function deleteUnusedVolumes(select: (unused: VolumeRecord[]) => VolumeRecord[]): VolumeRecord[] {
  const { chosen, deleteFiles } = withVolumesLock(() => {
    const users = volumeUsers();
    const chosen = select(listVolumes().filter(({ name }) => !users.has(name)));
    return { chosen, deleteFiles: takeAway(chosen.map(({ name }) => name)) };
  });
  deleteFiles();
  return chosen;
}

/** Deletes a container as deleteContainer does, and with it the volumes that nobody has named and no other container uses. */
export function deleteContainerAndVolumes(record: ContainerRecord): () => void {
  const names = volumesOf({ mounts: record.mounts.filter((mount) => mount.type === "volume" && mount.anonymous) });
  if (names.length === 0) return deleteContainer(record);
  return withVolumesLock(() => {
    const users = volumeUsers();
    const isShared = (name: string) => users.get(name)?.some((id) => id !== record.id);
    // The volumes first: should this process end between the two, the container is still there to be removed again.
    const deleteVolumes = takeAway(names.filter((name) => existsSync(volumeDir(name)) && !isShared(name)));
    const deleteFiles = deleteContainer(record);
    return () => {
      deleteVolumes();
      deleteFiles();
    };
  });
}

function takeAway(names: string[]): () => void {
  if (names.length === 0) return () => {};
  const trash = withReserve(makeTemporaryDir);
  for (const name of names) {
    renameSync(volumeDir(name), join(trash, name));
    recordVolumeEvent("destroy", name);
  }
  return () => removeTree(trash);
}
