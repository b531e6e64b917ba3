/**
 * What a new volume begins with: all of it or nothing, also where the process that fills it is killed. The files are made in
 * `tmp/`, become `volumes/<name>/filled/` by one rename, and move into `_data/` from there: who comes next ends what was
 * begun. `_data/` itself stays, since containers may have it mounted.
 */

import { join } from "node:path";
import { hasCode, NotFoundError, PodError } from "../errors.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, RESOLVE_IN_ROOT } from "../ns/constants.ts";
import {
  listDirectoryBytes,
  openAtBytes,
  renameAtBytes,
  resolveBytes,
  setTimesOf,
  statAtBytes,
  toByteString,
} from "../ns/sys/bytes.ts";
import { close, lock, open } from "../ns/sys/file.ts";
import { existsSync, mkdirSync, renameSync } from "../ns/sys/fs.ts";
import { attributesOf, type Skipped, setAttributes } from "./attributes.ts";
import type { ContainerMount } from "./container-mount.ts";
import { TreeCopier } from "./copytree.ts";
import { isStill, makeTemporaryDir, removeTree, syncStore } from "./files.ts";
import { isAnonymous, readVolume, volumeData, volumeDir } from "./volumes.ts";

/**
 * Calls `action` with the volume's files, while nobody else fills it. NotFoundError where there is no such volume. In the
 * user's namespace.
 */
export function withVolume<T>(name: string, action: (dataDir: string) => T): T {
  const fd = lockVolume(name);
  try {
    finishFilling(name);
    return action(volumeData(name));
  } finally {
    close(fd);
  }
}

/** The same for work that takes turns with other work of this process. */
export async function withVolumeAsync<T>(name: string, action: (dataDir: string) => Promise<T>): Promise<T> {
  const fd = lockVolume(name);
  try {
    finishFilling(name);
    return await action(volumeData(name));
  } finally {
    close(fd);
  }
}

/** What a killed process had begun to put into them is ended: nobody is to see a part of it. */
export function settleVolumes(mounts: ContainerMount[]): void {
  for (const mount of mounts) if (mount.type === "volume") withVolume(mount.name, () => {});
}

/** Empty volumes get what the image has where they are mounted; `root` is the container's. In the user's namespace. */
export function fillVolumes(mounts: ContainerMount[], root: number): void {
  for (const mount of mounts) {
    if (mount.type !== "volume" || !mount.copy || mount.subpath !== undefined) continue;
    const source = resolveBytes(root, toByteString(mount.destination), O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT);
    if (source === undefined) continue; // the image has no such folder
    try {
      copyIntoEmpty(mount.name, source);
    } catch (cause) {
      throw new PodError(`copy the image's ${mount.destination} into volume ${mount.name}`, { cause });
    } finally {
      close(source);
    }
  }
}

/** An empty volume gets what is in the folder behind `source`, with that folder's own attributes. */
function copyIntoEmpty(name: string, source: number): void {
  withVolume(name, (dataDir) => {
    if (!isEmpty(dataDir)) return;
    const staged = stageFilling();
    try {
      const copier = new TreeCopier(staged.fd);
      copier.copyContents(source);
      copyAttributes(source, staged.fd);
      publishFilling(name, staged);
    } finally {
      staged.close();
    }
  });
}

export interface StagedFilling {
  dir: string;
  /** The folder to put files into. */
  fd: number;
  close(): void;
}

/** A folder beside the volumes, gone if this process ends first. */
export function stageFilling(): StagedFilling {
  const temporary = makeTemporaryDir();
  const dir = join(temporary, "filled");
  mkdirSync(dir, { mode: 0o755 });
  const fd = open(dir, O_RDONLY | O_DIRECTORY);
  return {
    dir,
    fd,
    close() {
      close(fd);
      removeTree(temporary);
    },
  };
}

/** To be called in withVolume. */
export function publishFilling(name: string, { dir }: StagedFilling): void {
  const volume = readVolume(name);
  if (volume && !isAnonymous(volume)) syncStore(); // what a volume begins with survives a power cut
  renameSync(dir, filledDir(name));
  finishFilling(name);
}

export function isEmpty(dir: string): boolean {
  const fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    return listDirectoryBytes(fd).length === 0;
  } finally {
    close(fd);
  }
}

function filledDir(name: string): string {
  return join(volumeDir(name), "filled");
}

/** flock(2) on the volume's folder. */
function lockVolume(name: string): number {
  for (;;) {
    const fd = openVolume(name);
    lock(fd, "exclusive");
    if (isStill(fd, volumeDir(name))) return fd;
    close(fd);
  }
}

function openVolume(name: string): number {
  try {
    return open(volumeDir(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (cause) {
    throw hasCode(cause, "ENOENT") ? new NotFoundError(`get ${name}: no such volume`, { cause }) : cause;
  }
}

/** Moves what is ready into place. What a container has made there meanwhile, by the same name, stays. */
function finishFilling(name: string): void {
  if (!existsSync(filledDir(name))) return;
  const [from, to] = [filledDir(name), volumeData(name)].map((dir) => open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  try {
    const attributes = attributesOf(from!);
    for (const entry of listDirectoryBytes(from!)) {
      if (!statAtBytes(to!, entry.name)) renameAtBytes(from!, entry.name, to!, entry.name);
    }
    setAttributes(to!, attributes, unheard());
    setTimesOf(to!, attributes.accessed, attributes.modified);
  } finally {
    close(from!);
    close(to!);
  }
  removeTree(filledDir(name));
}

/** Of folders, with their times. */
export function copyAttributes(source: number, target: number): void {
  const opened = openAtBytes(source, ".", O_RDONLY | O_DIRECTORY);
  try {
    const attributes = attributesOf(opened);
    setAttributes(target, attributes, unheard());
    setTimesOf(target, attributes.accessed, attributes.modified);
  } finally {
    close(opened);
  }
}

/** A container's own files lack the same. */
function unheard(): Skipped {
  return { devices: 0, xattrs: 0, owners: 0 };
}
