/**
 * The monitor's first acts, before the rest of it is loaded: the user's namespace, the container's namespaces, and the
 * container's first process, which waits in them. All of that comes before it is known what will run.
 */

import { config } from "../config.ts";
import { PodError } from "../errors.ts";
import {
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  MS_REC,
  MS_SHARED,
  MS_SLAVE,
} from "./constants.ts";
import type * as init from "./init.ts";
import { load } from "./stage.ts";
import { growPipe, pipe, socketPair, writeAll } from "./sys/descriptor.ts";
import { close, readDescriptor, writeText } from "./sys/file.ts";
import { closeInherited, fork, forkSibling, setTitle, takeDescriptors } from "./sys/fork.ts";
import { mount, setns, unshare } from "./sys/namespace.ts";
import { execve, waitPid } from "./sys/process.ts";
import { beginUserNamespace, mappedIds, registerHolder } from "./userns.ts";

/** The container's first process, and this side's ends of its pipes. */
export interface WaitingInit {
  pid: number;
  channel: number;
  stdin: number;
  stdout: number;
  stderr: number;
}

/** Or why there is none: that is told to whom it may concern, later. */
export type Prepared = { init: WaitingInit; failure?: undefined } | { init?: undefined; failure: unknown };

/**
 * `enter`: the second half of entering the user's namespace, where that is begun. `meanwhile` runs while other programs map ids.
 */
export function prepareContainer(enter: (() => void) | undefined, meanwhile: () => void): Prepared {
  let finish = () => {};
  let failure: unknown;
  try {
    finish = enter ?? beginUserNamespace();
  } catch (error) {
    failure = error;
  }
  meanwhile();
  if (failure) return { failure };
  try {
    unshareMounts();
    const { runInit } = load<typeof init>("ns/init");
    finish();
    registerHolder();
    return { init: startInit(runInit) };
  } catch (error) {
    return { failure: error };
  }
}

/** Starts this program anew in this very process: main.ts takes `__restart` to the monitor's runAgain(). Returns never. */
export function restartMonitor(id: string): never {
  const env = config.restartEnvironment();
  execve("/proc/self/exe", ["pod monitor", "__restart", id], env);
}

/** A mount namespace copied from the host's: later mounts of the host still arrive, none of ours gets out, and ours reach the container's. */
export function unshareMounts(): void {
  unshare(CLONE_NEWNS, "new mount namespace");
  mount("none", "/", "", MS_REC | MS_SLAVE);
  mount("none", "/", "", MS_REC | MS_SHARED);
}

/**
 * In place of the one that waits, another first process, in the network namespace behind `networkFd`: that has to be joined
 * before the container's own user namespace is made, which would have no power over it. The copy that does so ends at once.
 */
export function startInitIn(networkFd: number, waiting: WaitingInit): WaitingInit {
  const { pid: old, ...fds } = waiting;
  for (const fd of Object.values(fds)) close(fd);
  waitPid(old, true);
  const { runInit } = load<typeof init>("ns/init");
  const answer = pipe();
  return startInit(runInit, (child, namespaces) => {
    const door = fork(() => {
      setns(networkFd, CLONE_NEWNET, "the other container's network namespace");
      const pid = forkSibling(child, namespaces);
      writeAll(answer.writeFd, Buffer.from(String(pid ?? "")));
      return 0;
    });
    close(answer.writeFd);
    const text = readDescriptor(answer.readFd).toString();
    close(answer.readFd);
    waitPid(door, true);
    if (!/^\d+$/.test(text)) throw new PodError("join the other container's network namespace");
    return Number(text);
  });
}

/** In a user namespace nested in this one, that owns the others: so containers of one user hold no capability over each other. */
function startInit(runInit: typeof init.runInit, start = fork): WaitingInit {
  const [channel, remote] = socketPair("packets");
  const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
  for (const { writeFd } of [stdout, stderr]) growPipe(writeFd, 1 << 20); // fewer, larger chunks for the log
  const theirs = [stdin.readFd, stdout.writeFd, stderr.writeFd];
  const namespaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
  const pid = start(() => {
    takeDescriptors(theirs);
    closeInherited([remote]);
    setTitle("pod init");
    runInit(remote);
    return 0;
  }, namespaces);
  for (const fd of [...theirs, remote]) close(fd);
  for (const kind of ["gid", "uid"] as const) {
    // One to one: the container's root has the same files, and no power outside. A line for each of the parent's
    // ranges, since the kernel wants a range to lie within one of them.
    const lines = mappedIds(kind).map(({ containerID, size }) => `${containerID} ${containerID} ${size}`);
    writeText(`/proc/${pid}/${kind}_map`, lines.join("\n"));
  }
  return { pid, channel, stdin: stdin.writeFd, stdout: stdout.readFd, stderr: stderr.readFd };
}
