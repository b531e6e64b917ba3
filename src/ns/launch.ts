/**
 * The start stage: makes a container's namespaces and its first process, then ends. One process per start, since
 * unshare(CLONE_NEWPID) works once in a process's life, and joining the nested user namespace can't be undone.
 */

import { SyscallError } from "../errors.ts";
import {
  AT_FDCWD,
  CLONE_FS,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MS_PRIVATE,
  MS_REC,
  O_RDONLY,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from "./constants.ts";
import { channelFd, receive, type StageFailure, send, spawnStage } from "./stage.ts";
import { close, open } from "./sys/file.ts";
import { mount, openTree, setMountAttributes, setns, unshare } from "./sys/namespace.ts";
import { exitNow } from "./sys/process.ts";
import { becomeRoot, joinUserNamespace } from "./userns.ts";

/** Monitor → start, first: its own process, whose user and mount namespace are to be joined. */
export interface JoinRequest {
  monitorPid: number;
}

/** Monitor → start, when the ids are mapped, the root file system is mounted, and it is known what will run. */
export interface StartRequest {
  /** Which namespaces are new; the others stay the host's. */
  newNetwork: boolean;
}

/** Start → monitor, in this order. */
export type StartReport =
  | { kind: "map-ids" } // in the nested user namespace, without maps; the monitor writes them
  | { kind: "namespaces" } // all made; with the user and the network namespace, since this process may end at once
  | { kind: "init"; pid: number }
  | { kind: "failed"; failure: StageFailure };

/** Runs the stage. Standard streams are the container's own; descriptor 3 is the channel, which init inherits. */
export function runStart(): never {
  const request = receive<JoinRequest>(channelFd)?.message;
  if (!request) exitNow(0); // the monitor could not enter the user's namespace
  let step = "start";
  const at = (name: string) => {
    step = name;
  };
  try {
    start(request, at);
  } catch (error) {
    const { message } = error as Error;
    report({
      kind: "failed",
      failure: { step, message, hint: error instanceof SyscallError ? error.hint : undefined },
    });
  }
  exitNow(0);
}

function start({ monitorPid }: JoinRequest, at: (step: string) => void): void {
  at("join the user's namespace");
  joinUserNamespace(monitorPid);
  unshare(CLONE_FS, "file system attributes"); // else setns into a mount namespace is EINVAL
  const mountNamespace = open(`/proc/${monitorPid}/ns/mnt`, O_RDONLY);
  setns(mountNamespace, CLONE_NEWNS, "the monitor's mount namespace"); // where the root file system will be mounted
  close(mountNamespace);

  at("make the container's user namespace");
  unshare(CLONE_NEWUSER, "new user namespace");
  report({ kind: "map-ids" });
  const request = receive<StartRequest>(channelFd)?.message;
  if (!request) exitNow(0); // the command found nothing to run
  becomeRoot();

  at("make the container's namespaces");
  const network = request.newNetwork ? CLONE_NEWNET : 0;
  unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | network, "new namespaces");
  const own = (name: string) => open(`/proc/self/ns/${name}`, O_RDONLY);
  const namespaces = [own("user"), own("net")];
  report({ kind: "namespaces" }, namespaces);
  for (const fd of namespaces) close(fd);
  mount("none", "/", "", MS_REC | MS_PRIVATE);

  at("start the container's first process");
  const pid = spawnStage("__init", channelFd, { stdio: [0, 1, 2], executable: readOnlySelf() });
  report({ kind: "init", pid });
}

/**
 * This program on a detached read-only mount: what a container sees as /proc/PID/exe can't be opened for writing,
 * whoever owns the file (CVE-2019-5736).
 */
function readOnlySelf(): string {
  // By its path: /proc/self/exe leads to the mount namespace that it was started in, whose mounts can't be cloned here.
  const fd = openTree(AT_FDCWD, process.execPath, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  const set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  setMountAttributes(fd, { set }, process.execPath);
  return `/proc/self/fd/${fd}`;
}

function report(message: StartReport, fds: number[] = []): void {
  send(channelFd, message, fds);
}
