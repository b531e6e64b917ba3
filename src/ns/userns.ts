/**
 * The user's namespace: one user namespace that all commands and monitors of a user share while one of them lives.
 * It is entered in this very process, which must be single-threaded: see docs/architecture.md.
 */

import { config } from "../config.ts";
import { hasCode, PodError, SyscallError } from "../errors.ts";
import type { IdMapping } from "../spec.ts";
import { AT_FDCWD, CLONE_NEWUSER, O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_RDWR } from "./constants.ts";
import { type IdMaps, readIdMaps, rootRange, toMapArguments } from "./idmap.ts";
import { pipe, readInto, writeAll } from "./sys/descriptor.ts";
import {
  chownAt,
  close,
  listDirectory,
  lock,
  mkdirAt,
  open,
  readText,
  statAt,
  unlinkAt,
  writeText,
} from "./sys/file.ts";
import { setns, unlessErrno, unshare } from "./sys/namespace.ts";
import { bootId, execve, setDumpable, setGid, setGroups, setUid, startTimeOf, waitPid } from "./sys/process.ts";

// Nothing here loads node:fs: its heap alone makes the engine start threads, and then the namespace can't be entered.

const holdersDir = `${config.dataDir}/run`;

/**
 * Enters the user's namespace: that of a live holder, else a new one, and becomes its root.
 * Throws SyscallError or PodError with a hint where the host forbids it.
 */
export function enterUserNamespace(): void {
  try {
    beginUserNamespace()();
  } catch (error) {
    if (error instanceof ThreadsError) restartSingleThreaded();
    throw error;
  }
}

/** unshare(2) and setns(2) are EINVAL in a process with threads. */
class ThreadsError extends PodError {
  constructor(cause: unknown) {
    super("enter a user namespace: this process has threads", { cause });
  }
}

/** What the user is to be told once, by who asks first and can tell it: that this namespace maps one id only, and why. */
export function takeSingleIdNote(): string | undefined {
  if (mappedIds("uid").reduce((sum, { size }) => sum + size, 0) > 1) return undefined;
  const isFirst = unlessErrno(["EEXIST"], () =>
    close(open(`${config.dataDir}/single-id-noted`, O_CREAT | O_EXCL | O_RDWR, 0o600)),
  );
  if (!isFirst) return undefined;
  const { singleIdReason } = readIdMaps(config.uid, config.gid, {
    isHostRoot: config.isHostRoot,
    hasNewidmap: hasNewidmap(),
  });
  return `only your own id can be mapped: ${singleIdReason ?? "this user namespace has no more"}; files of other owners become yours`;
}

function hasNewidmap(): boolean {
  return Bun.which("newuidmap") !== null && Bun.which("newgidmap") !== null;
}

/** Root that is not the host's has a user namespace already, made by whoever started it, with what ids it has. */
let inside = config.uid === 0 && !config.isHostRoot;

/**
 * The first half: the namespace is there, and a new one's ids are being mapped by other programs meanwhile. The
 * function that comes back is the second half; the engine may start threads between the two.
 */
export function beginUserNamespace(): () => void {
  for (const dir of [config.dataDir, `${config.dataDir}/locks`, holdersDir]) makeDirectory(dir);
  if (inside) return () => {};
  inside = joinLiveHolder();
  if (inside) return () => {};
  const lockFd = open(`${config.dataDir}/locks/userns`, O_RDWR | O_CREAT, 0o600);
  lock(lockFd, "exclusive"); // from looking to registering: sixteen first commands share one namespace
  let finish: (() => void) | undefined;
  try {
    inside = joinLiveHolder();
    if (!inside) finish = createUserNamespace();
  } finally {
    if (!finish) close(lockFd);
  }
  return () => {
    if (!finish) return;
    try {
      finish();
      registerHolder();
      inside = true;
    } finally {
      close(lockFd);
    }
  };
}

/** Joins the user namespace of process `pid` and becomes its root. */
export function joinUserNamespace(pid: number): void {
  if (sameUserNamespace(pid)) return; // setns(2) into one's own is EINVAL
  const fd = open(`/proc/${pid}/ns/user`, O_RDONLY);
  try {
    setns(fd, CLONE_NEWUSER, `user namespace of process ${pid}`);
  } finally {
    close(fd);
  }
  becomeRoot();
}

/** Lets later commands join this process's user namespace. The file is swept when the process is gone. */
export function registerHolder(): void {
  const identity = { pid: process.pid, startTime: startTimeOf(process.pid), bootId: bootId() };
  writeText(holderFile(process.pid), JSON.stringify(identity));
}
export function unregisterHolder(): void {
  unlessErrno(["ENOENT"], () => unlinkAt(AT_FDCWD, holderFile(process.pid)));
}
function holderFile(pid: number | string): string {
  return `${holdersDir}/${pid}`;
}

/** How many ids this process's user namespace maps: `0 … size-1`. */
export function mappedIds(kind: "uid" | "gid"): IdMapping[] {
  return readText(`/proc/self/${kind}_map`)
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number) as [number, number, number])
    .map(([containerID, hostID, size]) => ({ containerID, hostID, size }));
}

function joinLiveHolder(): boolean {
  for (const name of holderNames()) {
    try {
      const holder = JSON.parse(readText(holderFile(name))) as { pid: number; startTime: number; bootId: string };
      if (holder.bootId !== bootId() || startTimeOf(holder.pid) !== holder.startTime) {
        unlessErrno(["ENOENT"], () => unlinkAt(AT_FDCWD, holderFile(name)));
        continue;
      }
      joinUserNamespace(holder.pid);
      return true;
    } catch (error) {
      if (hasCode(error, "EINVAL")) throw new ThreadsError(error);
      if (!(error instanceof SyntaxError) && !hasCode(error, "ENOENT", "ESRCH", "EACCES")) throw error;
      // it ended meanwhile, or its file is being written: the next one, or a new namespace
    }
  }
  return false;
}

function sameUserNamespace(pid: number): boolean {
  return namespaceId("self") === namespaceId(pid);
}
function namespaceId(pid: number | "self"): bigint {
  const fd = open(`/proc/${pid}/ns/user`, O_RDONLY);
  try {
    return statAt(fd, "").inode;
  } finally {
    close(fd);
  }
}

function holderNames(): string[] {
  const fd = open(holdersDir, O_RDONLY | O_DIRECTORY);
  try {
    return listDirectory(fd).map(({ name }) => name);
  } finally {
    close(fd);
  }
}

/** Made 0700 with its parents. As real root it belongs to the namespace's root, which is not the host's. */
function makeDirectory(dir: string): void {
  try {
    mkdirAt(AT_FDCWD, dir, 0o700);
  } catch (error) {
    if (hasCode(error, "EEXIST")) return;
    const parent = dir.slice(0, dir.lastIndexOf("/"));
    if (!hasCode(error, "ENOENT") || !parent) {
      throw new PodError("make pod's data directory", {
        cause: error,
        hint: "set XDG_DATA_HOME to a folder that you can write",
      });
    }
    makeDirectory(parent);
    makeDirectory(dir);
    return;
  }
  if (config.isHostRoot && dir.startsWith(config.dataDir)) chownAt(AT_FDCWD, dir, rootRange.start, rootRange.start);
}

/** The function that comes back waits for the maps. */
function createUserNamespace(): () => void {
  const { uid, gid, isHostRoot } = config;
  const maps = readIdMaps(uid, gid, { isHostRoot, hasNewidmap: hasNewidmap() });
  const helper = maps.singleIdReason === undefined ? startMapHelper(maps) : undefined;
  try {
    unshare(CLONE_NEWUSER, "new user namespace");
  } catch (error) {
    helper?.abandon();
    if (hasCode(error, "EINVAL")) throw new ThreadsError(error);
    throw new PodError("enter a user namespace", { cause: error, hint: userNamespaceHint(error) });
  }
  helper?.start();
  return () => {
    if (helper) helper.wait();
    else writeSingleIdMaps(maps);
    becomeRoot();
  };
}

/**
 * A child that stays outside and writes this process's maps, by newuidmap(1), or as real root directly. It is started
 * before unshare(2), since setuid programs get no privilege inside.
 */
function startMapHelper(maps: IdMaps): { start(): void; wait(): undefined; abandon(): void } {
  const [go, answer] = [pipe(), pipe()];
  const argv = [String(process.pid), ...toMapArguments(maps.uid), "--", ...toMapArguments(maps.gid)];
  const child = Bun.spawn(["/bin/sh", "-c", config.isHostRoot ? rootMapScript : userMapScript, "sh", ...argv], {
    stdio: [go.readFd, answer.writeFd, answer.writeFd],
    env: { PATH: `${config.path}:/usr/bin:/usr/sbin:/bin:/sbin` },
  });
  child.unref();
  close(go.readFd);
  close(answer.writeFd);
  return {
    abandon() {
      close(go.writeFd); // it ends without having done anything
      close(answer.readFd);
    },
    start() {
      writeAll(go.writeFd, Buffer.from("\n"));
      close(go.writeFd);
    },
    wait() {
      const text = readToEnd(answer.readFd).trim();
      close(answer.readFd);
      waitPid(child.pid, true);
      if (text === "done") return;
      throw new PodError(`map the ids of the user namespace: ${text || "the helper was ended"}`, {
        hint: /not permitted/.test(text) ? restrictionHint() : "see /etc/subuid and /etc/subgid, subuid(5)",
      });
    },
  };
}

// The uid maps stand before `--`, the gid maps after it. newgidmap runs beside newuidmap: each is a program start.
const splitArguments = `read -r _ || exit
pid=$1; shift; uids=; while [ "$1" != -- ]; do uids="$uids $1"; shift; done; shift`;
const userMapScript = `${splitArguments}
newgidmap "$pid" "$@" & newuidmap "$pid" $uids && wait $! && echo done`;
const rootMapScript = `${splitArguments}
echo "$*" > /proc/$pid/gid_map && echo "$uids" > /proc/$pid/uid_map && echo done`;

function readToEnd(fd: number): string {
  const chunks: Buffer[] = [];
  const buffer = Buffer.alloc(4096);
  for (let length = readInto(fd, buffer); length; length = readInto(fd, buffer))
    chunks.push(Buffer.from(buffer.subarray(0, length)));
  return Buffer.concat(chunks).toString();
}

function writeSingleIdMaps(maps: IdMaps): void {
  try {
    writeText("/proc/self/setgroups", "deny"); // or an unprivileged gid_map is EPERM: user_namespaces(7)
    writeText("/proc/self/gid_map", toMapArguments(maps.gid).join(" "));
    writeText("/proc/self/uid_map", toMapArguments(maps.uid).join(" "));
  } catch (error) {
    throw new PodError("map your id in the user namespace", { cause: error, hint: restrictionHint() });
  }
}

/** Uid 0 of the user namespace that this process has just entered. */
export function becomeRoot(): void {
  try {
    setGroups([]); // the caller's groups have no name inside
  } catch (error) {
    if (!hasCode(error, "EPERM")) throw error; // one-id mode: setgroups is denied, and the groups stay
  }
  setGid(0);
  setUid(0);
  setDumpable(true); // real root changed its uid, which hides /proc/PID/ns from the monitor: prctl(2)
}

/** Starts this command once more, with the settings that keep the engine from making threads. */
function restartSingleThreaded(): never {
  if (config.singleThreadRetry) throw new PodError("enter a user namespace: this process has threads");
  execve("/proc/self/exe", config.argv, config.singleThreadEnvironment());
}

function userNamespaceHint(error: unknown): string | undefined {
  if (!(error instanceof SyscallError)) return undefined;
  if (error.code === "ENOSPC") return "the limit of user namespaces is reached; see sysctl user.max_user_namespaces";
  return restrictionHint();
}

/** Says which rule of the host forbids user namespaces, and the one command that mends it. */
function restrictionHint(): string {
  const sysctl = (name: string) => {
    try {
      return readText(`/proc/sys/${name.replaceAll(".", "/")}`).trim();
    } catch {
      return undefined;
    }
  };
  if (sysctl("kernel.apparmor_restrict_unprivileged_userns") === "1") {
    return `AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns=1); allow them to pod alone: echo 'abi <abi/4.0>, include <tunables/global> profile pod ${process.execPath} flags=(unconfined) { userns, }' | sudo tee /etc/apparmor.d/pod && sudo apparmor_parser -r /etc/apparmor.d/pod`;
  }
  if (sysctl("kernel.unprivileged_userns_clone") === "0") {
    return "unprivileged user namespaces are off; run: sudo sysctl -w kernel.unprivileged_userns_clone=1";
  }
  if (sysctl("user.max_user_namespaces") === "0") {
    return "user namespaces are off; run: sudo sysctl -w user.max_user_namespaces=15000";
  }
  return "unprivileged user namespaces are restricted here; see user_namespaces(7)";
}
