/**
 * The init stage: PID 1 of a new container. It turns an OCI spec into this process's own state, step by step, and
 * becomes the user's program. Synchronous throughout: the engine's I/O threads would keep the old mount namespace.
 */

import { config } from "../config.ts";
import type { RuntimeSpec } from "../spec.ts";
import {
  AF_NETLINK,
  CLONE_NEWCGROUP,
  CLONE_NEWNET,
  MS_PRIVATE,
  MS_REC,
  MS_SLAVE,
  O_RDONLY,
  SOCK_RAW,
} from "./constants.ts";
import { becomeProgram, orReport, type ProgramReport } from "./program.ts";
import { type CommonMounts, enterRootfs, type HostFiles, mountCommon, openHostFiles } from "./rootfs.ts";
import { receive, send } from "./stage.ts";
import { socket } from "./sys/descriptor.ts";
import { close, open } from "./sys/file.ts";
import { mount, setDomainname, setHostname, unlessErrno, unshare } from "./sys/namespace.ts";
import { exitNow, joinNewSessionKeyring, setDumpable, setSid, setUmask } from "./sys/process.ts";
import { setInterfaceUp, type WindowSize } from "./sys/terminal.ts";
import { becomeRoot } from "./userns.ts";

/** The monitor's part; here, since what it loads before it has entered the user's namespace must be little. */
export { forkInCgroup } from "./cgroup.ts";

/** Monitor → init, first: this is what will run. The next message says that the root file system is mounted. */
export interface InitRequest {
  spec: RuntimeSpec;
  /** The user as given, for the container's own passwd file. */
  user: string;
  /** PID 1 reaps and forwards signals, and the program is its child. */
  reaper: boolean;
  windowSize?: WindowSize;
}

/** Monitor → init, when its ids are mapped. */
export interface InitIds {
  /** The container's root is the caller: without `--userns`. */
  hasCaller: boolean;
}

/** Init → monitor. */
export type InitReport =
  | { kind: "waiting" } // it does not hang
  | { kind: "namespaces" } // its user and its network namespace are attached, and a netlink socket of that: SCM_RIGHTS
  | ProgramReport; // all its namespaces are attached to "ready"

/** Runs the stage. Descriptors 0, 1 and 2 are the container's standard streams. */
export function runInit(channel: number): never {
  setUmask(0o022); // the caller's own is not to close what init makes: mount points, the working directory
  return orReport(channel, (at) => {
    send(channel, { kind: "waiting" } satisfies InitReport);
    const ids = receive<InitIds>(channel)?.message;
    if (!ids) exitNow(1); // they could not be mapped
    let common: CommonMounts | undefined;
    if (ids.hasCaller) {
      enterUserNamespace(at);
      common = mountCommon(config.dataDir, at);
    }
    const request = receive<InitRequest>(channel)?.message;
    if (!request) exitNow(1); // the command found nothing to run
    initialise(channel, request, common, at);
  });
}

function enterUserNamespace(at: (step: string) => void): void {
  at("become root of the container's user namespace");
  becomeRoot();
}

/** Opened as the caller, to whom they belong, where the container's root is somebody else. */
function awaitHostFiles(channel: number, spec: RuntimeSpec, at: (step: string) => void): HostFiles {
  at("wait for the root file system");
  if (!receive(channel)) exitNow(1); // it could not be mounted
  return openHostFiles(spec, at); // it has come by propagation
}

/** The order is the design: each step needs what stands above it, or must come before what stands below. */
function initialise(
  channel: number,
  request: InitRequest,
  common: CommonMounts | undefined,
  at: (step: string) => void,
): never {
  const { spec } = request;
  const newNetwork = spec.linux.namespaces.some(({ type, path }) => type === "network" && !path);

  const ownFiles = common ? undefined : awaitHostFiles(channel, spec, at);
  if (ownFiles) enterUserNamespace(at);

  at("make the network namespace");
  if (newNetwork) unshare(CLONE_NEWNET, "new network namespace");
  const netlink = socket(AF_NETLINK, SOCK_RAW); // to change the network namespace from outside
  sendNamespaces(channel, { kind: "namespaces" }, ["user", "net"], [netlink]);
  setDumpable(false); // nobody inside reads this process's memory or descriptors through /proc

  at("leave the host's session");
  setSid();
  unlessErrno(["EPERM", "ENOSYS", "EDQUOT"], joinNewSessionKeyring); // best effort, as runc: some seccomp filters forbid it

  at("make the cgroup namespace");
  unshare(CLONE_NEWCGROUP, "new cgroup namespace"); // after the process is in its cgroup, before /sys/fs/cgroup is mounted

  at("set the host name");
  if (spec.hostname) setHostname(spec.hostname);
  if (spec.domainname) setDomainname(spec.domainname);

  if (newNetwork) {
    at("set the loopback interface up");
    setInterfaceUp("lo");
  }

  const files = ownFiles ?? awaitHostFiles(channel, spec, at);

  at("leave the monitor's mounts");
  mount("none", "/", "", MS_REC | (spec.linux.rootfsPropagation === "slave" ? MS_SLAVE : MS_PRIVATE));

  enterRootfs(spec, files, common, at);

  becomeProgram(channel, { ...request, process: spec.process, isFirst: true }, at, () =>
    sendNamespaces(channel, { kind: "ready" }, ["user", "pid", "net", "ipc", "uts", "cgroup", "mnt"]),
  );
}

/** For those who join them: slirp4netns, and `exec`. Nobody could open them later, since this process can't be looked at. */
function sendNamespaces(channel: number, report: InitReport, names: string[], sockets: number[] = []): void {
  const fds = [...names.map((name) => open(`/proc/self/ns/${name}`, O_RDONLY)), ...sockets];
  send(channel, report, fds);
  for (const fd of fds) close(fd);
}
