/** A first process that is not needed, or not so. Apart from prestart.ts, which is loaded before the user's namespace is entered. */

import { removeCgroup } from "./cgroup.ts";
import { initWaits } from "./handshake.ts";
import type * as init from "./init.ts";
import { type InitMaps, startInit, type WaitingInit } from "./prestart.ts";
import { load } from "./stage.ts";
import { close } from "./sys/file.ts";
import { kill, waitPid } from "./sys/process.ts";

const SIGKILL = 9;

/** For a command that found nothing to run, or wants another. */
export function discardInit({ channel, pid, cgroup }: WaitingInit): void {
  close(channel);
  kill(pid, SIGKILL); // it may hang
  waitPid(pid, true);
  if (cgroup !== undefined) removeCgroup(cgroup);
}

/** The one that waits, or another: where ids are to be mapped as `maps` say, and where it hangs. Throws where it has ended. */
export function readyInit(waiting: WaitingInit, maps?: InitMaps): WaitingInit {
  let init = maps ? replaceInit(waiting, maps) : waiting;
  while (!initWaits(init.channel)) init = replaceInit(init, maps);
  return init;
}

function replaceInit(waiting: WaitingInit, maps?: InitMaps): WaitingInit {
  for (const fd of [waiting.stdin, waiting.stdout, waiting.stderr]) close(fd);
  discardInit(waiting);
  return startInit(load<typeof init>("ns/init"), maps);
}
