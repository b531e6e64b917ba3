/** Processes, their identity, signals and limits. */

import {
  AT_EMPTY_PATH,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_RAISE,
  PR_CAPBSET_DROP,
  PR_CAPBSET_READ,
  PR_SET_DUMPABLE,
  PR_SET_KEEPCAPS,
  PR_SET_NAME,
  PR_SET_NO_NEW_PRIVS,
  PR_SET_PDEATHSIG,
} from "../constants.ts";
import { c, check, cstring, cstringArray } from "../libc.ts";
import { readText } from "./file.ts";

/** getpid(2): not `process.pid`, which a copy of a process may have from its parent. */
export function processId(): number {
  return c.getpid();
}
export function parentProcessId(): number {
  return c.getppid();
}

/** setresuid(2), all three. */
export function setUid(uid: number): void {
  check("setresuid", c.setresuid(uid, uid, uid), String(uid));
}

/** setresgid(2), all three. */
export function setGid(gid: number): void {
  check("setresgid", c.setresgid(gid, gid, gid), String(gid));
}

/** setgroups(2). EPERM where the user namespace denies it (one-id mode). */
export function setGroups(gids: number[]): void {
  check("setgroups", c.setgroups(gids.length, new Uint32Array(gids.length ? gids : [0])));
}

/** prctl(2) options that pod uses. */
export function setDumpable(on: boolean): void {
  check("prctl", c.prctl(PR_SET_DUMPABLE, on ? 1 : 0, 0, 0, 0), "PR_SET_DUMPABLE");
}
/** The signal that this process gets when its parent's thread ends. Cleared by a change of uid. */
export function setParentDeathSignal(signal: number): void {
  check("prctl", c.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), "PR_SET_PDEATHSIG");
}
/** The name that ps(1) shows: 15 bytes. */
export function setName(name: string): void {
  check("prctl", c.prctl(PR_SET_NAME, cstring(name), 0, 0, 0), "PR_SET_NAME");
}
/** Whether a change of uid away from 0 keeps the permitted set. */
export function setKeepCapabilities(on: boolean): void {
  check("prctl", c.prctl(PR_SET_KEEPCAPS, on ? 1 : 0, 0, 0, 0), "PR_SET_KEEPCAPS");
}
export function setNoNewPrivs(): void {
  check("prctl", c.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
}

/** capset(2), version 3. Sets are bit masks over CAP_* numbers below 64. */
export function setCapabilities(sets: { effective: bigint; permitted: bigint; inheritable: bigint }): void {
  const header = new Uint32Array([0x20080522, 0]);
  const low = (set: bigint) => Number(set & 0xffffffffn);
  const high = (set: bigint) => Number(set >> 32n);
  const data = new Uint32Array([
    low(sets.effective),
    low(sets.permitted),
    low(sets.inheritable),
    high(sets.effective),
    high(sets.permitted),
    high(sets.inheritable),
  ]);
  check("capset", c.capset(header, data));
}

/** Whether the capability is in the bounding set; undefined where the kernel does not know its number. */
export function inBoundingSet(capability: number): boolean | undefined {
  const result = c.prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
  return result === -1 ? undefined : result === 1;
}
export function dropFromBoundingSet(capability: number): void {
  check("prctl", c.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "PR_CAPBSET_DROP");
}
export function clearAmbient(): void {
  check("prctl", c.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "PR_CAP_AMBIENT");
}
export function raiseAmbient(capability: number): void {
  check("prctl", c.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "PR_CAP_AMBIENT");
}

/** prlimit(2) on this process: both limits of one resource (RLIMIT_* number). */
export function setRlimit(resource: number, soft: number, hard: number): void {
  const toRlim = (value: number) =>
    value < 0 || value === Number.POSITIVE_INFINITY ? 0xffffffffffffffffn : BigInt(value);
  const limits = new BigUint64Array([toRlim(soft), toRlim(hard)]);
  check("prlimit", c.prlimit64(0, resource, limits, null), `resource ${resource}`);
}
/** prlimit(2): the limits of one resource; Infinity for RLIM_INFINITY. */
export function getRlimit(resource: number): { soft: number; hard: number } {
  const limits = new BigUint64Array(2);
  check("prlimit", c.prlimit64(0, resource, null, limits), `resource ${resource}`);
  const fromRlim = (value: bigint) => (value === 0xffffffffffffffffn ? Number.POSITIVE_INFINITY : Number(value));
  return { soft: fromRlim(limits[0]!), hard: fromRlim(limits[1]!) };
}

/** keyctl(2) JOIN_SESSION_KEYRING: a new one, so that the container does not hold the host's. */
export function joinNewSessionKeyring(): void {
  check("keyctl", c.keyctl(1, 0), "JOIN_SESSION_KEYRING");
}

/** Puts every signal's disposition back to the default and empties the mask: execve(2) would hand them on. */
export function resetSignals(): void {
  const byDefault = new Uint8Array(32); // struct sigaction of the kernel: SIG_DFL, no flags, an empty mask
  for (let signal = 1; signal <= 64; signal++) c.rt_sigaction(signal, byDefault, null, signalSetBytes); // EINVAL for KILL and STOP
  setSignalMask("set", []);
}

const how = { block: 0, unblock: 1, set: 2 };
export const signalSetBytes = 8;

/** sigprocmask(2). */
export function setSignalMask(action: keyof typeof how, signals: number[]): void {
  check("sigprocmask", c.rt_sigprocmask(how[action], signalSet(signals), null, signalSetBytes));
}

/** SIGHUP and SIGTERM: what systemd sends to every process of a session or a unit that is to end. */
export const sessionEndSignals = [1, 15];

/** The kernel's sigset_t: 64 bits. */
export function signalSet(signals: number[]): Uint8Array {
  const set = new Uint8Array(signalSetBytes);
  for (const signal of signals) set[(signal - 1) >> 3]! |= 1 << ((signal - 1) & 7);
  return set;
}

/** execve(2): returns only by throwing. */
export function execve(path: string, argv: string[], env: string[]): never {
  const args = cstringArray(argv);
  const environment = cstringArray(env);
  check("execve", c.execve(cstring(path), args.pointers, environment.pointers), path);
  throw new Error("unreachable");
}

/** execveat(2) of an open file: returns only by throwing. */
export function executeDescriptor(fd: number, argv: string[], env: string[]): never {
  const [args, environment] = [cstringArray(argv), cstringArray(env)];
  check("execveat", c.execveat(fd, cstring(""), args.pointers, environment.pointers, AT_EMPTY_PATH), argv[0]);
  throw new Error("unreachable");
}

/** Marks all descriptors from `first` on close-on-exec: close_range(2) with CLOSE_RANGE_CLOEXEC. */
export function closeOnExecFrom(first: number): void {
  check("close_range", c.close_range(first, 0xffffffff, 4), `from ${first}`);
}

/** waitpid(2) of a named child. Undefined where it still runs and `block` is false. */
export function waitPid(pid: number, block: boolean): { code: number; signal: number } | undefined {
  const status = new Int32Array(1);
  const result = check("waitpid", c.wait4(pid, status, block ? 0 : 1, null), String(pid));
  if (result === 0) return undefined;
  const word = status[0]!;
  return { code: (word >> 8) & 0xff, signal: word & 0x7f };
}

/** pidfd_open(2). The caller compares the start time after opening: then the pid can't be reused unseen. */
export function pidfdOpen(pid: number): number {
  return check("pidfd_open", c.pidfd_open(pid, 0), String(pid));
}
/** pidfd_send_signal(2). Signal 0 tests whether the process is there. */
export function pidfdSendSignal(pidfd: number, signal: number): void {
  check("pidfd_send_signal", c.pidfd_send_signal(pidfd, signal, 0, 0), `signal ${signal}`);
}

/** pidfd_getfd(2): a descriptor of that process's, in this one, close-on-exec. EBADF where it has none of that number. */
export function pidfdGetFd(pidfd: number, number: number): number {
  return check("pidfd_getfd", c.pidfd_getfd(pidfd, number, 0), `descriptor ${number}`);
}

/** kill(2). */
export function kill(pid: number, signal: number): void {
  check("kill", c.kill(pid, signal), String(pid));
}

export function setSid(): void {
  check("setsid", c.setsid());
}

export function setUmask(mask: number): number {
  return c.umask(mask);
}

/** _exit(2): ends at once; buffered output of the runtime is not flushed. */
export function exitNow(code: number): never {
  c.exit_group(code);
  throw new Error("unreachable");
}

/** The process's start time in clock ticks since boot, proc(5) stat field 22; undefined where there is no such process, or a zombie only. */
export function startTimeOf(pid: number): number | undefined {
  try {
    const stat = readText(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name may hold spaces and brackets
    return fields[0] === "Z" || fields[0] === "X" ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}

let cachedBootId: string | undefined;

/** The kernel's boot id: with it a pid and its start time name one process for ever. */
export function bootId(): string {
  return (cachedBootId ??= readText("/proc/sys/kernel/random/boot_id").trim());
}
