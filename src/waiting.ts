/** A monitor that waits to be told what to run: a copy of this process, made before all else is loaded. */

import { config } from "./config.ts";
import type * as monitor from "./monitor.ts";
import { prepareContainer } from "./ns/prestart.ts";
import { load } from "./ns/stage.ts";
import { socketPair } from "./ns/sys/descriptor.ts";
import { close, duplicate } from "./ns/sys/file.ts";
import { closeInherited, setTitle, takeDescriptors } from "./ns/sys/fork.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { execve, sessionEndSignals, setSid, setSignalMask } from "./ns/sys/process.ts";
import { forkInUserNamespace, ThreadsError } from "./ns/userns.ts";

export interface WaitingMonitor {
  pid: number;
  /** The command's end of the monitor's socket. When it closes without a word, the monitor ends. */
  fd: number;
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
  return { pid, fd };
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
