/**
 * The monitor's first acts, before the rest of it is loaded: the user's namespace, the container's namespaces, and the
 * container's first process, which waits in them. All of that comes before it is known what will run.
 */

import { config } from "../config.ts";
import type { IdMapping } from "../spec.ts";
import {
  CLONE_NEWIPC,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  MS_REC,
  MS_SHARED,
  MS_SLAVE,
} from "./constants.ts";
import type * as init from "./init.ts";
import { load, send } from "./stage.ts";
import { growPipe, pipe, socketPair } from "./sys/descriptor.ts";
import { close, fchmod, writeText } from "./sys/file.ts";
import { closeInherited, type fork, setTitle, takeDescriptors } from "./sys/fork.ts";
import { mount, unshare } from "./sys/namespace.ts";
import { execve } from "./sys/process.ts";
import { beginUserNamespace, mappedIds, registerHolder } from "./userns.ts";

/** The container's first process, and this side's ends of its pipes. */
export interface WaitingInit {
  pid: number;
  channel: number;
  stdin: number;
  stdout: number;
  stderr: number;
  /** Its control group's directory, where it has one of its own. */
  cgroup?: string;
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
    const stage = load<typeof init>("ns/init");
    finish();
    registerHolder();
    return { init: startInit(stage) };
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

/** Ids of the container as those of the user's namespace. */
export interface InitMaps {
  uidMappings: IdMapping[];
  gidMappings: IdMapping[];
}

/** In a user namespace nested in this one, that owns the others: so containers of one user hold no capability over each other. */
export function startInit(
  { runInit, forkInCgroup }: Pick<typeof init, "runInit" | "forkInCgroup">,
  maps?: InitMaps,
  start?: typeof fork,
): WaitingInit {
  const [channel, remote] = socketPair("packets");
  const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
  for (const { writeFd } of [stdout, stderr]) growPipe(writeFd, 1 << 20); // fewer, larger chunks for the log
  const theirs = [stdin.readFd, stdout.writeFd, stderr.writeFd];
  for (const fd of theirs) fchmod(fd, 0o666); // /dev/stdout opens a pipe anew, also where its owner is nobody inside
  const namespaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
  const { pid, cgroup } = forkInCgroup(
    () => {
      takeDescriptors(theirs);
      closeInherited([remote]);
      setTitle("pod init");
      runInit(remote);
      return 0;
    },
    namespaces,
    start,
  );
  for (const fd of [...theirs, remote]) close(fd);
  for (const kind of ["gid", "uid"] as const) {
    // One to one: the container's root has the same files, and no power outside. A line for each of the parent's
    // ranges, since the kernel wants a range to lie within one of them.
    const ranges = maps
      ? maps[`${kind}Mappings`]
      : mappedIds(kind).map((range) => ({ ...range, hostID: range.containerID }));
    const lines = ranges.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}`);
    writeText(`/proc/${pid}/${kind}_map`, lines.join("\n"));
  }
  send(channel, { hasCaller: maps === undefined } satisfies init.InitIds);
  return { pid, channel, stdin: stdin.writeFd, stdout: stdout.readFd, stderr: stderr.readFd, cgroup };
}
