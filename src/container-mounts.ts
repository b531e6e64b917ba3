/**
 * What a container's mounts need before init can bind them, in its monitor: volumes are there and filled, sources exist, and
 * what is no plain folder of the host (part of a volume, an image, a tmpfs with files, a secret) is mounted below
 * `containers/<id>/mounts`, on a tmpfs that only this monitor and its container see.
 */

import { join } from "node:path";
import { addAccount } from "./account.ts";
import { type ContainerIds, outerOwner } from "./container-ids.ts";
import { NotFoundError, PodError } from "./errors.ts";
import { readySource } from "./mounts/sources.ts";
import {
  AT_EMPTY_PATH,
  AT_RECURSIVE,
  MNT_DETACH,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  S_IFDIR,
  S_IFMT,
} from "./ns/constants.ts";
import { mountRootfs } from "./ns/mountrootfs.ts";
import { readInRoot } from "./ns/program.ts";
import { parseMountOptions } from "./ns/rootfs.ts";
import { resolveBytes, toByteString } from "./ns/sys/bytes.ts";
import { writeAll } from "./ns/sys/descriptor.ts";
import { close, fchmod, fchown, open, statAt } from "./ns/sys/file.ts";
import { mkdirSync } from "./ns/sys/fs.ts";
import { mount, moveMount, openTree, umount, unlessErrno } from "./ns/sys/namespace.ts";
import { resolveUser } from "./ns/user.ts";
import { stagedMount } from "./runtimespec.ts";
import { changeOwners } from "./storage/chown.ts";
import {
  type BindMount,
  type ContainerMount,
  type ImageMount,
  type SecretMount,
  type TmpfsMount,
  volumesOf,
} from "./storage/container-mount.ts";
import { type ContainerRecord, containerDir } from "./storage/containers.ts";
import { TreeCopier } from "./storage/copytree.ts";
import { imageMount } from "./storage/drivers.ts";
import { readSecret } from "./storage/secrets.ts";
import { copyAttributes, fillVolumes, settleVolumes, withVolume } from "./storage/volume-fill.ts";
import { putVolumes, readVolume, volumeData, withVolumesLock } from "./storage/volumes.ts";

/** `rootfs`: where the root file system is mounted. Returns what takes the mounts off again. Throws PodError. */
export function prepareMounts(record: ContainerRecord, rootfs: string, isFirst: boolean): () => void {
  const { mounts } = record;
  const undo: (() => void)[] = [];
  const release = () => {
    for (const step of undo.splice(0).reverse()) step();
  };
  const root = open(rootfs, O_PATH | O_DIRECTORY);
  try {
    if (isFirst && volumesOf(record).length > 0) withVolumesLock(() => putVolumes(mounts)); // the command may have been killed before it did
    for (const each of mounts) checkSource(each);
    settleVolumes(mounts);
    if (isFirst) {
      if (record.userns?.mode === "keep-id") addAccount(rootfs, record.userns, record.process.workingDir);
      fillVolumes(mounts, root);
      giveToUser(record, rootfs);
    }
    if (mounts.some(isStaged)) stageAll(record, root, undo);
    return release;
  } catch (error) {
    release();
    throw error;
  } finally {
    close(root);
  }
}

/** It may have gone since the container was made. */
function checkSource(each: ContainerMount): void {
  if (each.type === "bind") readySource(each);
  if (each.type !== "volume" || readVolume(each.name)) return;
  throw new NotFoundError(`get ${each.name}: no such volume`, {
    hint: `\`pod volume create ${each.name}\` makes an empty one`,
  });
}

/** `U`: files that belong to somebody else. */
function giveToUser({ mounts, process: program, userns }: ContainerRecord, rootfs: string): void {
  const given = mounts.filter((each) => (each.type === "bind" || each.type === "volume") && each.chown);
  if (given.length === 0) return;
  const { uid, gid } = resolveUser(program.user, readInRoot("/etc/passwd", rootfs), readInRoot("/etc/group", rootfs));
  for (const each of given) {
    const path = each.type === "volume" ? volumeData(each.name) : (each as BindMount).source;
    const owner = outerOwner({ uid, gid }, userns);
    const { foreign } = owner ? changeOwners(path, () => owner) : { foreign: "all" };
    if (foreign === 0) continue;
    throw new PodError(`give ${path} to ${uid}:${gid}: ${foreign} files belong to others, or there is no such id here`);
  }
}

function isStaged(each: ContainerMount): boolean {
  if (each.type === "volume") return each.subpath !== undefined;
  return each.type === "image" || each.type === "secret" || (each.type === "tmpfs" && each.copy);
}

function stageAll(record: ContainerRecord, root: number, undo: (() => void)[]): void {
  const dir = containerDir(record.id);
  const area = join(dir, "mounts");
  mkdirSync(area, { mode: 0o700, recursive: true });
  mount("tmpfs", area, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700");
  undo.push(() => umount(area, MNT_DETACH)); // with all that is mounted on it
  record.mounts.forEach((each, index) => {
    const target = stagedMount(dir, index);
    try {
      if (each.type === "volume" && each.subpath !== undefined) {
        const { subpath } = each;
        withVolume(each.name, (dataDir) => bindPart(dataDir, subpath, target));
      }
      if (each.type === "image") stageImage(record, each, index, target, undo);
      if (each.type === "tmpfs" && each.copy) stageTmpfs(each, root, target);
      if (each.type === "secret") writeSecret(each, target, record.userns);
    } catch (cause) {
      throw new PodError(`mount ${each.destination}`, { cause });
    }
  });
}

/** A file or folder below `dir`: no symlink leads out of there. */
function bindPart(dir: string, subpath: string, target: string): void {
  const rootFd = open(dir, O_PATH | O_DIRECTORY);
  try {
    const part = resolveBytes(rootFd, toByteString(subpath), O_PATH, RESOLVE_BENEATH);
    if (part === undefined)
      throw new NotFoundError(`cannot access path ${join(dir, subpath)}: no such file or directory`);
    const clone = openTree(part, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    const isFolder = (statAt(part, "").mode & S_IFMT) === S_IFDIR;
    if (isFolder) mkdirSync(target);
    else close(open(target, O_WRONLY | O_CREAT | O_EXCL, 0o600));
    const targetFd = open(target, O_PATH | O_NOFOLLOW);
    moveMount(clone, targetFd, target);
    for (const fd of [part, clone, targetFd]) close(fd);
  } finally {
    close(rootFd);
  }
}

function stageImage(
  { id, driver, userns }: ContainerRecord,
  { layers, subpath }: ImageMount,
  index: number,
  target: string,
  undo: (() => void)[],
): void {
  const whole = subpath === undefined ? target : `${target}.whole`;
  undo.push(mountRootfs(imageMount({ id, driver, layers, index, target: whole, userns })).unmount);
  if (subpath !== undefined) bindPart(whole, subpath, target);
}

function stageTmpfs({ destination, options }: TmpfsMount, root: number, target: string): void {
  const { flags, data } = parseMountOptions(options.filter((word) => word !== "ro"));
  mkdirSync(target);
  mount("tmpfs", target, "tmpfs", flags, data.join(","));
  const source = resolveBytes(root, toByteString(destination), O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT);
  if (source === undefined) return; // the image has none
  const folder = open(target, O_RDONLY | O_DIRECTORY);
  try {
    new TreeCopier(folder).copyContents(source);
    copyAttributes(source, folder);
  } finally {
    close(source);
    close(folder);
  }
}

function writeSecret({ name, uid, gid, mode }: SecretMount, target: string, userns: ContainerIds | undefined): void {
  const owner = outerOwner({ uid, gid }, userns);
  if (!owner) throw new PodError(`give secret ${name} to ${uid}:${gid}: the container has no such id`);
  const fd = open(target, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  try {
    writeAll(fd, readSecret(name));
    unlessErrno(["EINVAL", "EPERM"], () => fchown(fd, owner.uid, owner.gid)); // one-id mode: there is no other owner
    fchmod(fd, mode);
  } finally {
    close(fd);
  }
}
