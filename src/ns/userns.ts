/**
 * The user's namespace: one user namespace that all commands and monitors of a user share while one of them lives.
 * It is entered in this very process, which must be single-threaded: see docs/architecture.md.
 */

import { config } from "../config.ts";
import { hasCode, PodError } from "../errors.ts";
import type { IdMapping } from "../spec.ts";
import { AT_FDCWD, CLONE_NEWUSER, O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_RDWR } from "./constants.ts";
import { rootRange } from "./idmap.ts";
import { awaitMaps, idMaps, mapIdsOf, startMappers, userNamespaceHint, writeSingleIdMaps } from "./mappers.ts";
import { pipe } from "./sys/descriptor.ts";
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
import { fork } from "./sys/fork.ts";
import { existsSync } from "./sys/fs.ts";
import { setns, unlessErrno, unshare } from "./sys/namespace.ts";
import { bootId, execve, processId, setDumpable, setGid, setGroups, setUid, startTimeOf } from "./sys/process.ts";

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
export class ThreadsError extends PodError {
  constructor(cause?: unknown) {
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
  const { singleIdReason } = idMaps();
  return `only your own id can be mapped: ${singleIdReason ?? "this user namespace has no more"}; files of other owners become yours`;
}

/** Root that is not the host's has a user namespace already, made by whoever started it, with what ids it has. */
let inside = config.uid === 0 && !config.isHostRoot;

/**
 * The first half: the namespace is there, and a new one's ids are being mapped by other programs meanwhile. The
 * function that comes back is the second half; the engine may start threads between the two.
 */
export function beginUserNamespace(): () => void {
  makeDirectories();
  if (inside) return () => {};
  inside = joinLiveHolder();
  if (inside) return () => {};
  const lockFd = openLock();
  lock(lockFd, "exclusive"); // from looking to registering: sixteen first commands share one namespace
  let finish: (() => void) | undefined;
  try {
    inside = joinLiveHolder();
    if (!inside) finish = createUserNamespace();
  } finally {
    if (!finish) close(lockFd);
  }
  return () => finish && finishUserNamespace(finish, lockFd);
}

function openLock(): number {
  return open(`${config.dataDir}/locks/userns`, O_RDWR | O_CREAT, 0o600);
}

function finishUserNamespace(finish: () => void, lockFd: number): void {
  try {
    finish();
    registerHolder();
    inside = true;
  } finally {
    close(lockFd);
  }
}

/**
 * Runs `child` in a copy of this process, as fork() does. Where there is no namespace to join, and no other command is
 * just making one, the copy is born in a new one, which takes no more processes: its `finish` is then the second half.
 * Else it has to call beginUserNamespace() itself.
 */
export function forkInUserNamespace(child: (finish: (() => void) | undefined) => number): number {
  makeDirectories();
  const lockFd = openLock();
  if (inside || liveHolder() !== undefined || !lock(lockFd, "exclusive", false) || liveHolder() !== undefined) {
    close(lockFd);
    return fork(() => child(undefined));
  }
  const answer = pipe();
  const finish = () => {
    close(answer.writeFd);
    finishUserNamespace(() => {
      awaitMaps(answer.readFd);
      becomeRoot();
    }, lockFd);
  };
  try {
    const pid = fork(() => child(finish), { namespaces: CLONE_NEWUSER });
    mapIdsOf(pid, answer.writeFd);
    return pid;
  } catch (error) {
    throw new PodError("enter a user namespace", { cause: error, hint: userNamespaceHint(error) });
  } finally {
    for (const fd of [answer.readFd, answer.writeFd, lockFd]) close(fd); // the copy still has them
  }
}

/** Joins the user namespace of process `pid` and becomes its root. */
function joinUserNamespace(pid: number): void {
  if (sameUserNamespace(pid)) return; // setns(2) into one's own is EINVAL
  const fd = open(`/proc/${pid}/ns/user`, O_RDONLY);
  try {
    setns(fd, CLONE_NEWUSER, `user namespace of process ${pid}`);
  } finally {
    close(fd);
  }
  becomeRoot();
}

let registeredPid = 0;

/** Lets later commands join this process's user namespace. The file is swept when the process is gone. */
export function registerHolder(): void {
  const pid = processId();
  if (registeredPid === pid) return; // a copy of a holder is another process, which may outlive it
  registeredPid = pid;
  // On a full disk no other command can join this one, and no more than that.
  const isWritten = unlessErrno(["ENOSPC", "EDQUOT"], () =>
    writeText(holderFile(pid), JSON.stringify({ pid, startTime: startTimeOf(pid), bootId: bootId() })),
  );
  if (!isWritten) unregisterHolder();
}
export function unregisterHolder(): void {
  unlessErrno(["ENOENT"], () => unlinkAt(AT_FDCWD, holderFile(processId())));
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
  const tried: number[] = [];
  for (let holder = liveHolder(); holder !== undefined; holder = liveHolder(tried)) {
    tried.push(holder);
    try {
      joinUserNamespace(holder);
      return true;
    } catch (error) {
      if (hasCode(error, "EINVAL")) throw new ThreadsError(error);
      if (!hasCode(error, "ENOENT", "ESRCH", "EACCES")) throw error; // it ended meanwhile: the next one
    }
  }
  return false;
}

/** The pid of a process that holds the user's namespace, and is none of these. */
function liveHolder(except: number[] = []): number | undefined {
  for (const name of holderNames()) {
    if (except.includes(Number(name))) continue;
    try {
      const holder = JSON.parse(readText(holderFile(name))) as { pid: number; startTime: number; bootId: string };
      if (holder.bootId === bootId() && startTimeOf(holder.pid) === holder.startTime) return holder.pid;
      unlessErrno(["ENOENT"], () => unlinkAt(AT_FDCWD, holderFile(name)));
    } catch (error) {
      if (!(error instanceof SyntaxError) && !hasCode(error, "ENOENT")) throw error; // it is gone, or being written
      if (startTimeOf(Number(name)) === undefined) unlessErrno(["ENOENT"], () => unlinkAt(AT_FDCWD, holderFile(name)));
    }
  }
  return undefined;
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

function makeDirectories(): void {
  for (const dir of [config.dataDir, `${config.dataDir}/locks`, holdersDir]) makeDirectory(dir);
}

/** Made 0700 with its parents. As real root it belongs to the namespace's root, which is not the host's. */
function makeDirectory(dir: string): void {
  if (existsSync(dir)) return; // nearly always, and the first error that a process makes takes half a millisecond
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
  const mappers = startMappers();
  try {
    unshare(CLONE_NEWUSER, "new user namespace");
  } catch (error) {
    mappers.map(undefined);
    if (hasCode(error, "EINVAL")) throw new ThreadsError(error);
    throw new PodError("enter a user namespace", { cause: error, hint: userNamespaceHint(error) });
  }
  const maps = idMaps();
  mappers.map(maps.singleIdReason === undefined ? maps : undefined);
  return () => {
    if (maps.singleIdReason === undefined) mappers.wait();
    else writeSingleIdMaps(maps);
    becomeRoot();
  };
}

/** Uid 0 of the user namespace that this process has just entered. */
export function becomeRoot(isVisible = true): void {
  try {
    setGroups([]); // the caller's groups have no name inside
  } catch (error) {
    if (!hasCode(error, "EPERM")) throw error; // one-id mode: setgroups is denied, and the groups stay
  }
  setGid(0);
  setUid(0);
  if (isVisible) setDumpable(true); // real root changed its uid, which hides /proc/PID/ns from the monitor: prctl(2)
}

/** Starts this command once more, with the settings that keep the engine from making threads. */
export function restartSingleThreaded(): never {
  if (config.singleThreadRetry) throw new PodError("enter a user namespace: this process has threads");
  execve("/proc/self/exe", config.argv, config.singleThreadEnvironment());
}
