/** A first process that is not needed, or not so. Apart from prestart.ts, which is loaded before the user's namespace is entered. */

import { PodError } from "../errors.ts";
import { removeCgroup } from "./cgroup.ts";
import { CLONE_NEWNET, POLLIN } from "./constants.ts";
import { initWaits } from "./handshake.ts";
import type * as init from "./init.ts";
import { type InitMaps, startInit, type WaitingInit } from "./prestart.ts";
import { load, receive, send } from "./stage.ts";
import { poll, socketPair } from "./sys/descriptor.ts";
import { close } from "./sys/file.ts";
import { fork } from "./sys/fork.ts";
import { setns } from "./sys/namespace.ts";
import { kill, waitPid } from "./sys/process.ts";

const SIGKILL = 9;

/** What could not be known when the one that waits was made. */
export interface InitWish {
  maps?: InitMaps;
  /** A descriptor of the network namespace that it is to be in, another container's. */
  networkFd?: number;
}

/** For a command that found nothing to run, or wants another. */
export function discardInit({ channel, pid, cgroup }: WaitingInit): void {
  close(channel);
  kill(pid, SIGKILL); // it may hang
  waitPid(pid, true);
  if (cgroup !== undefined) removeCgroup(cgroup);
}

/** The one that waits, or another: where there is a wish, and where it hangs. Throws where it has ended. */
export function readyInit(waiting: WaitingInit, wish: InitWish = {}): WaitingInit {
  let init = wish.maps || wish.networkFd !== undefined ? replaceInit(waiting, wish) : waiting;
  while (!initWaits(init.channel)) init = replaceInit(init, wish);
  return init;
}

function replaceInit(waiting: WaitingInit, { maps, networkFd }: InitWish): WaitingInit {
  for (const fd of [waiting.stdin, waiting.stdout, waiting.stderr]) close(fd);
  discardInit(waiting);
  return startInit(load<typeof init>("ns/init"), maps, networkFd === undefined ? fork : forkInNetwork(networkFd));
}

const patienceMs = 10_000;

/**
 * fork() into another container's network namespace. That has to be joined before the container's own user namespace is
 * made, which would have no power over it: by a copy of this process, which ends at once. Its copy is this process's child.
 */
function forkInNetwork(networkFd: number): typeof fork {
  return (child, options) => {
    const [channel, remote] = socketPair("packets");
    const door = fork(() => {
      setns(networkFd, CLONE_NEWNET, "the other container's network namespace");
      send(remote, { pid: fork(child, { ...options, isSibling: true }) });
      return 0;
    });
    close(remote);
    const hasSpoken = poll([{ fd: channel, events: POLLIN }], patienceMs)[0] !== 0;
    const answer = hasSpoken ? receive<{ pid: number }>(channel) : undefined;
    close(channel);
    if (!hasSpoken) kill(door, SIGKILL);
    waitPid(door, true);
    if (!answer) throw new PodError("join the other container's network namespace");
    return answer.message.pid;
  };
}
