/** Carries a RootfsMount out, in the monitor's own mount namespace; and takes it off again. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { config } from "../config.ts";
import { formatError, hasCode, PodError } from "../errors.ts";
import { CLONE_NEWNS, MNT_DETACH, MS_REC, MS_SLAVE, O_RDONLY, POLLIN } from "./constants.ts";
import { channelFd, receive, send, spawnStage } from "./stage.ts";
import { poll, socketPair } from "./sys/descriptor.ts";
import { close, open, statAt } from "./sys/file.ts";
import { mount, umount, unlessErrno, unshare } from "./sys/namespace.ts";
import { exitNow, pidfdOpen, pidfdSendSignal, waitPid } from "./sys/process.ts";
import { enterUserNamespace } from "./userns.ts";

export interface MountedRootfs {
  path: string;
  /** The process behind a FUSE file system: readable when it has ended. */
  helperPidfd?: number;
  /** Takes the mount off and ends the helper. */
  unmount(): void;
}

/** A mount namespace copied from the host's: later mounts of the host still arrive, none of ours gets out. */
export function unshareMounts(): void {
  unshare(CLONE_NEWNS, "new mount namespace");
  mount("none", "/", "", MS_REC | MS_SLAVE);
}

/** Paths in `options` are relative to the store's root. */
export function mountRootfs(what: {
  driver: "overlay" | "fuse-overlayfs";
  target: string;
  options: string;
}): MountedRootfs {
  mkdirSync(what.target, { recursive: true });
  process.chdir(config.dataDir);
  try {
    return what.driver === "overlay" ? mountOverlay(what) : mountFuse(what);
  } finally {
    process.chdir("/");
  }
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
    throw new PodError("fuse-overlayfs is not installed", {
      hint: "install it (Debian, Ubuntu: sudo apt install fuse-overlayfs), or use --storage-driver overlay",
    });
  }
  // The guard dies with this process, and fuse-overlayfs with it: PR_SET_PDEATHSIG outlives its execve(2).
  const command = [program, "-f", "-o", `${options},allow_other`, target];
  const pid = spawnStage("__guard", null, { args: [String(process.pid), ...command], cwd: config.dataDir });
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

/** Mounts an overlay below the empty folder `dir`, in a stage, since a mount namespace can't be left. Returns why it failed. */
export function probeOverlay(dir: string): string | undefined {
  const [channel, remote] = socketPair("packets");
  spawnStage("__probe", remote, { args: [dir] });
  close(remote);
  const answer = receive<{ error?: string }>(channel);
  close(channel);
  return answer ? answer.message.error : "the probe was ended";
}

/** The probe stage, for which descriptor 3 takes the answer. */
export function runProbe(dir: string): never {
  let error: string | undefined;
  try {
    enterUserNamespace();
    unshareMounts();
    const [lower, upper, work, target] = ["lower", "upper", "work", "rootfs"].map((name) => join(dir, name));
    for (const path of [lower, upper, work, target]) mkdirSync(path!);
    mount("overlay", target!, "overlay", 0, `lowerdir=${lower},upperdir=${upper},workdir=${work},userxattr`);
    writeFileSync(join(target!, "file"), "");
  } catch (cause) {
    error = formatError(cause);
  }
  send(channelFd, { error });
  exitNow(0);
}
