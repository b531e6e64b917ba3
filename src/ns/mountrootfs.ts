/** Carries a RootfsMount out, in the monitor's own mount namespace; and takes it off again. */

import { join } from "node:path";
import { config } from "../config.ts";
import { formatError, hasCode, PodError } from "../errors.ts";
import { MNT_DETACH, MS_BIND, O_RDONLY, POLLIN } from "./constants.ts";
import { unshareMounts } from "./prestart.ts";
import { pipe, poll, writeAll } from "./sys/descriptor.ts";
import { close, open, readDescriptor, statAt } from "./sys/file.ts";
import { fork, spawn } from "./sys/fork.ts";
import { mkdirSync, writeFileSync } from "./sys/fs.ts";
import { mount, umount, unlessErrno } from "./sys/namespace.ts";
import { pidfdOpen, pidfdSendSignal, sessionEndSignals, waitPid } from "./sys/process.ts";
import { enterUserNamespace } from "./userns.ts";

export interface MountedRootfs {
  path: string;
  /** The process behind a FUSE file system: readable when it has ended. */
  helperPidfd?: number;
  /** Takes the mount off and ends the helper. */
  unmount(): void;
}

interface Rootfs {
  driver: string;
  target: string;
  /** Paths in them are relative to the store's root. */
  options: string;
  tree?: string;
  lower?: Rootfs;
}

export function mountRootfs(what: Rootfs): MountedRootfs {
  if (what.lower) return mountUpon(mountRootfs(what.lower), { ...what, lower: undefined });
  unlessErrno(["EEXIST"], () => mkdirSync(what.target)); // in the container's folder, which may just have been removed
  if (what.tree) return mountTree(what.tree, what.target);
  process.chdir(config.dataDir);
  try {
    return what.driver === "overlay" ? mountOverlay(what) : mountFuse(what);
  } finally {
    process.chdir("/");
  }
}

function mountUpon(lower: MountedRootfs, what: Rootfs): MountedRootfs {
  const unmountLower = lower.unmount;
  try {
    const { path, unmount } = mountRootfs(what);
    return {
      path,
      helperPidfd: lower.helperPidfd,
      unmount() {
        unmount();
        unmountLower();
      },
    };
  } catch (error) {
    unmountLower();
    throw error;
  }
}

function mountTree(tree: string, target: string): MountedRootfs {
  mount(tree, target, "", MS_BIND);
  return { path: target, unmount: () => umount(target, MNT_DETACH) };
}

function mountOverlay({ target, options }: { target: string; options: string }): MountedRootfs {
  try {
    mount("overlay", target, "overlay", 0, options);
  } catch (cause) {
    throw new PodError("mount the container's overlay", { cause, hint: "try --storage-driver fuse-overlayfs" });
  }
  return { path: target, unmount: () => umount(target, MNT_DETACH) };
}

function mountFuse({ target, options }: { target: string; options: string }): MountedRootfs {
  const program = Bun.which("fuse-overlayfs", { PATH: config.path });
  if (!program) {
    const otherwise = options.includes("uidmapping=")
      ? ": --userns needs it"
      : ", or use --storage-driver overlay, or vfs, which copies the image's files";
    throw new PodError("fuse-overlayfs is not installed", {
      hint: `install it (Debian, Ubuntu: sudo apt install fuse-overlayfs)${otherwise}`,
    });
  }
  const pid = spawn(program, ["-f", "-o", `${options},allow_other`, target], {
    env: [],
    fds: [null, null, null],
    cwd: config.dataDir,
    diesWithParent: true,
    blockedSignals: sessionEndSignals, // the program is to have its files until it has ended
  });
  const pidfd = pidfdOpen(pid);
  const unmount = () => {
    unlessErrno(["EINVAL"], () => umount(target, MNT_DETACH)); // it ends by itself when the last user is gone
    if (poll([{ fd: pidfd, events: POLLIN }], 2000)[0] === 0) unlessErrno(["ESRCH"], () => pidfdSendSignal(pidfd, 9));
    waitPid(pid, true);
    close(pidfd);
  };
  try {
    waitForMount(target, pidfd);
  } catch (error) {
    unmount(); // it may have mounted before it was killed: nothing could then be removed
    if (!hasCode(error, "ENOTCONN", "ECONNABORTED")) throw error;
    throw new PodError("fuse-overlayfs ended, and the root file system with it", { cause: error });
  }
  return { path: target, helperPidfd: pidfd, unmount };
}

const POLLPRI = 0x2;

/** The kernel wakes pollers of mountinfo at each change: proc(5). */
function waitForMount(target: string, pidfd: number): void {
  const mountinfo = open("/proc/self/mountinfo", O_RDONLY);
  const before = mountIdOf(`${target}/..`);
  try {
    for (;;) {
      if (mountIdOf(target) !== before) return;
      const [, ended] = poll(
        [
          { fd: mountinfo, events: POLLPRI },
          { fd: pidfd, events: POLLIN },
        ],
        10_000,
      );
      if (!ended) continue;
      throw new PodError("fuse-overlayfs could not mount the root file system", {
        hint: "is /dev/fuse there and open to you? (sudo modprobe fuse; ls -l /dev/fuse)",
      });
    }
  } finally {
    close(mountinfo);
  }
}

function mountIdOf(path: string): bigint {
  const fd = open(path, O_RDONLY);
  try {
    return statAt(fd, "").mountId;
  } finally {
    close(fd);
  }
}

/** Mounts an overlay below the empty folder `dir`, in another process, since a mount namespace can't be left. Returns why it failed. */
export function probeOverlay(dir: string): string | undefined {
  const { readFd, writeFd } = pipe();
  const child = fork(() => {
    try {
      tryOverlay(dir);
    } catch (error) {
      writeAll(writeFd, Buffer.from(formatError(error)));
    }
    return 0;
  });
  close(writeFd);
  const error = readDescriptor(readFd).toString();
  close(readFd);
  const { signal } = waitPid(child, true)!;
  return error || (signal ? "the probe was ended" : undefined);
}

function tryOverlay(dir: string): void {
  enterUserNamespace();
  unshareMounts();
  const [lower, upper, work, target] = ["lower", "upper", "work", "rootfs"].map((name) => join(dir, name));
  for (const path of [lower, upper, work, target]) mkdirSync(path!);
  mount("overlay", target!, "overlay", 0, `lowerdir=${lower},upperdir=${upper},workdir=${work},userxattr`);
  writeFileSync(join(target!, "file"), "");
}
