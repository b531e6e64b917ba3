/** A first process that is not needed, or not so. Apart from prestart.ts, which is loaded before the user's namespace is entered. */

import { removeCgroup } from "./cgroup.ts";
import type * as init from "./init.ts";
import { type InitMaps, startInit, type WaitingInit } from "./prestart.ts";
import { load } from "./stage.ts";
import { close } from "./sys/file.ts";
import { waitPid } from "./sys/process.ts";

/** For a command that found nothing to run, or wants another. */
export function discardInit({ channel, pid, cgroup }: WaitingInit): void {
  close(channel); // it ends then
  waitPid(pid, true);
  if (cgroup !== undefined) removeCgroup(cgroup);
}

/** Another one in the place of one that waits, with ids mapped as these say. */
export function replaceInit(waiting: WaitingInit, maps: InitMaps): WaitingInit {
  for (const fd of [waiting.stdin, waiting.stdout, waiting.stderr]) close(fd);
  discardInit(waiting);
  return startInit(load<typeof init>("ns/init"), maps);
}
