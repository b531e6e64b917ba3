/** A container's files from outside, as its processes see them, or would: its root file system with its bind mounts. */

import { join } from "node:path";
import { NotFoundError } from "./errors.ts";
import { runInChild } from "./ns/child.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  MOUNT_ATTR_RDONLY,
  O_DIRECTORY,
  O_PATH,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
} from "./ns/constants.ts";
import { mountRootfs } from "./ns/mountrootfs.ts";
import { unshareMounts } from "./ns/prestart.ts";
import { resolveBytes, toByteString } from "./ns/sys/bytes.ts";
import { close, open } from "./ns/sys/file.ts";
import { moveMount, openTree, setMountAttributes } from "./ns/sys/namespace.ts";
import { openOfProcess } from "./storage/container-state.ts";
import { type Container, type ContainerRecord, containerDir, readContainer } from "./storage/containers.ts";
import { rootfsMount } from "./storage/drivers.ts";
import { lockRoot } from "./storage/root-lock.ts";
import { fillVolumes, settleVolumes } from "./storage/volume-fill.ts";
import { volumeData } from "./storage/volumes.ts";

/**
 * Calls `action` with a descriptor of the root. It runs in a copy of this process, and what it returns must be fit for
 * JSON: one that does not run is mounted there, where nobody else sees it. In the user's namespace.
 */
export function inContainerRoot<T>({ id, name }: ContainerRecord, action: (rootFd: number) => T): T {
  return runInChild(() => {
    for (;;) {
      const lockFd = lockRoot(id, false);
      try {
        const container = readContainer(id);
        if (!container) throw new NotFoundError(`No such container: ${name}`);
        const { status, init } = container.state;
        const isRunning = status === "running" && init;
        const rootFd = isRunning ? openOfProcess(init, "root", O_PATH | O_DIRECTORY) : undefined;
        if (rootFd !== undefined) return action(rootFd);
        if (!isRunning && lockFd !== undefined) return inMountedRoot(container, action);
      } finally {
        if (lockFd !== undefined) close(lockFd);
      }
      Bun.sleepSync(pauseMs); // it starts or ends just now, or another command looks into it
    }
  });
}

const pauseMs = 2;

function inMountedRoot<T>({ record, state }: Container, action: (rootFd: number) => T): T {
  unshareMounts();
  const rootfs = mountRootfs(rootfsMount(record));
  try {
    const rootFd = openTree(AT_FDCWD, rootfs.path, OPEN_TREE_CLOEXEC);
    if (record.readonlyRootfs) setMountAttributes(rootFd, { set: MOUNT_ATTR_RDONLY }, "/");
    try {
      settleVolumes(record.mounts);
      if (!state.started) fillVolumes(record.mounts, rootFd); // else it would be too late once there is a file in one
      for (const bind of [...ownFiles(record), ...bindsOf(record)]) mountBind(rootFd, bind);
      return action(rootFd);
    } finally {
      close(rootFd);
    }
  } finally {
    rootfs.unmount();
  }
}

interface Bind {
  source: string;
  /** Below the source. */
  subpath?: string;
  destination: string;
  readonly: boolean;
}

function ownFiles({ id }: ContainerRecord): Bind[] {
  const names = ["hosts", "hostname", "resolv.conf"];
  return names.map((name) => ({ source: join(containerDir(id), name), destination: `/etc/${name}`, readonly: false }));
}

/** Folders and volumes, outer ones first; what is in a tmpfs is not there while nothing runs. */
function bindsOf({ mounts }: ContainerRecord): Bind[] {
  return mounts
    .flatMap((mount): Bind[] => {
      if (mount.type === "bind") return [mount];
      return mount.type === "volume" ? [{ ...mount, source: volumeData(mount.name) }] : [];
    })
    .toSorted((a, b) => a.destination.split("/").length - b.destination.split("/").length);
}

/** Where there is nothing yet to mount it on, the container has never run, and its files are not there either. */
function mountBind(rootFd: number, { source, subpath = ".", destination, readonly }: Bind): void {
  const target = resolveBytes(rootFd, toByteString(destination), O_PATH, RESOLVE_IN_ROOT);
  if (target === undefined) return;
  const base = open(source, O_PATH);
  const part = subpath === "." ? base : resolveBytes(base, toByteString(subpath), O_PATH, RESOLVE_BENEATH);
  if (part === undefined)
    throw new NotFoundError(`cannot access path ${join(source, subpath)}: no such file or directory`);
  const clone = openTree(part, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
  if (readonly) setMountAttributes(clone, { set: MOUNT_ATTR_RDONLY, recursive: true }, destination);
  moveMount(clone, target, destination);
  for (const fd of new Set([base, part, clone, target])) close(fd);
}
