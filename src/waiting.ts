/** A monitor that waits to be told what to run: a copy of this process, made before the command looks for the image. */

import { config } from "./config.ts";
import type * as monitor from "./monitor.ts";
import { POLLIN } from "./ns/constants.ts";
import { prepareContainer } from "./ns/prestart.ts";
import { load } from "./ns/stage.ts";
import { poll, readInto, socketPair, writeAll } from "./ns/sys/descriptor.ts";
import { close, duplicate } from "./ns/sys/file.ts";
import { childrenOf, closeInherited, setTitle, takeDescriptors } from "./ns/sys/fork.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { execve, kill, sessionEndSignals, setSid, setSignalMask, waitPid } from "./ns/sys/process.ts";
import { forkInUserNamespace, ThreadsError } from "./ns/userns.ts";

const SIGKILL = 9;

export interface WaitingMonitor {
  pid: number;
  /** The command's end of the monitor's socket. When it closes without a word, the monitor ends. */
  fd: number;
  /** It has said that it waits: preparedMonitor(). */
  isPrepared: boolean;
}

/** It makes the container's namespaces while the command searches for the image. */
export function startMonitor(): WaitingMonitor {
  const [fd, remote] = socketPair("stream");
  const pid = forkInUserNamespace((finish) => {
    close(fd);
    becomeMonitor(remote, finish);
    return 0;
  });
  close(remote);
  return { pid, fd, isPrepared: false };
}

const patienceMs = 10_000;

/**
 * A monitor that has made the container's namespaces, or has failed and will tell why. One that says nothing hangs, and
 * another takes its place: a copy of a process with threads may find a lock shut that nobody will open (ns/sys/fork.ts).
 */
export function preparedMonitor(monitor: WaitingMonitor): WaitingMonitor {
  if (monitor.isPrepared) return monitor;
  const [hasSpoken] = poll([{ fd: monitor.fd, events: POLLIN }], patienceMs);
  if (hasSpoken) {
    readInto(monitor.fd, new Uint8Array(1)); // nothing where it has ended: who talks to it will see that
    return { ...monitor, isPrepared: true };
  }
  for (const pid of [...childrenOf(monitor.pid), monitor.pid]) unlessErrno(["ESRCH"], () => kill(pid, SIGKILL));
  close(monitor.fd);
  waitPid(monitor.pid, true);
  return preparedMonitor(startMonitor());
}

/** Nothing of the caller's stays with it: session, signals, descriptors, working directory, command line. */
export function becomeMonitor(client: number, finish?: () => void): void {
  const prepared = prepareContainer(finish, () => {
    unlessErrno(["EPERM"], setSid); // it leads its session already, where it is a fresh program
    setSignalMask("set", sessionEndSignals); // the command holds signals for its program; the monitor hears these two later
    takeDescriptors([null, null, null]);
    process.chdir("/");
    setTitle("pod monitor");
    load<typeof monitor>("monitor");
  });
  if (prepared.failure instanceof ThreadsError && !config.singleThreadRetry) becomeFreshMonitor(client);
  const { channel, stdin, stdout, stderr } = prepared.init ?? {};
  closeInherited([client, channel, stdin, stdout, stderr]);
  unlessErrno(["EPIPE", "ECONNRESET"], () => writeAll(client, new Uint8Array(1))); // preparedMonitor() waits for it
  load<typeof monitor>("monitor").runMonitor(client, prepared);
}

/**
 * The copy had grown threads before it could join the namespace: rare, where many start at once. The same process as a
 * fresh program, with the settings that keep the engine from making any; main.ts takes `__monitor` to becomeMonitor().
 */
function becomeFreshMonitor(client: number): never {
  duplicate(client, client); // not close-on-exec
  execve("/proc/self/exe", ["pod monitor", "__monitor", String(client)], config.restartEnvironment());
}

/** A monitor whose restart policy has started this program in its place. */
export function monitorAgain(id: string): never {
  setTitle("pod monitor");
  const { runAgain }: typeof monitor = load("monitor");
  return runAgain(
    id,
    prepareContainer(undefined, () => {}),
  );
}

let early: WaitingMonitor | undefined;

/** For a command that will run a container, before it knows which one. */
export function startMonitorEarly(): void {
  early = startMonitor();
}

/** The monitor that was started early, else a new one. */
export function takeMonitor(): WaitingMonitor {
  const monitor = early ?? startMonitor();
  early = undefined;
  return monitor;
}
