/** A container's files from outside, as its processes see them, or would: its root file system with its bind mounts. */

import { join } from "node:path";
import { NotFoundError } from "./errors.ts";
import { runInChild } from "./ns/child.ts";
import {
  AT_FDCWD,
  AT_RECURSIVE,
  MOUNT_ATTR_RDONLY,
  O_DIRECTORY,
  O_PATH,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  RESOLVE_IN_ROOT,
} from "./ns/constants.ts";
import { mountRootfs } from "./ns/mountrootfs.ts";
import { unshareMounts } from "./ns/prestart.ts";
import { resolveBytes, toByteString } from "./ns/sys/bytes.ts";
import { close, open } from "./ns/sys/file.ts";
import { moveMount, openTree, setMountAttributes } from "./ns/sys/namespace.ts";
import { type Container, type ContainerRecord, containerDir, isAlive } from "./storage/containers.ts";
import { rootfsMount } from "./storage/drivers.ts";

/**
 * Calls `action` with a descriptor of the root. It runs in a copy of this process, and what it returns must be fit for
 * JSON: one that does not run is mounted there, where nobody else sees it. In the user's namespace.
 */
export function inContainerRoot<T>({ record, state }: Container, action: (rootFd: number) => T): T {
  return runInChild(() => {
    const running = state.status === "running" && state.init;
    if (!running) return inMountedRoot(record, action);
    const rootFd = open(`/proc/${running.pid}/root`, O_PATH | O_DIRECTORY);
    if (!isAlive(running)) throw new NotFoundError(`container ${record.name} has just ended`); // asked after opening: it was that very process
    return action(rootFd);
  });
}

function inMountedRoot<T>(record: ContainerRecord, action: (rootFd: number) => T): T {
  unshareMounts();
  const rootfs = mountRootfs(rootfsMount(record));
  try {
    const rootFd = openTree(AT_FDCWD, rootfs.path, OPEN_TREE_CLOEXEC);
    if (record.readonlyRootfs) setMountAttributes(rootFd, { set: MOUNT_ATTR_RDONLY }, "/");
    for (const bind of [...ownFiles(record), ...record.binds]) mountBind(rootFd, bind);
    try {
      return action(rootFd);
    } finally {
      close(rootFd);
    }
  } finally {
    rootfs.unmount();
  }
}

function ownFiles({ id }: ContainerRecord): ContainerRecord["binds"] {
  const names = ["hosts", "hostname", "resolv.conf"];
  return names.map((name) => ({ source: join(containerDir(id), name), destination: `/etc/${name}`, readonly: false }));
}

/** Where there is nothing yet to mount it on, the container has never run, and its files are not there either. */
function mountBind(rootFd: number, { source, destination, readonly }: ContainerRecord["binds"][number]): void {
  const target = resolveBytes(rootFd, toByteString(destination), O_PATH, RESOLVE_IN_ROOT);
  if (target === undefined) return;
  const clone = openTree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (readonly) setMountAttributes(clone, { set: MOUNT_ATTR_RDONLY, recursive: true }, destination);
  moveMount(clone, target, destination);
  close(clone);
  close(target);
}
