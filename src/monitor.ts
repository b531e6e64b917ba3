/**
 * The monitor: one process per running container. It mounts the root file system, starts the container, owns its
 * standard streams, writes the log, serves the client, waits, records the exit and cleans up. It is synchronous, one
 * poll(2) loop, so it stays small; and it never changes its own network or pid namespace, from which there is no way back.
 */

import { ContainerRun, type Launch } from "./container-run.ts";
import { POLLIN } from "./ns/constants.ts";
import type { Prepared } from "./ns/prestart.ts";
import { discardInit } from "./ns/replace-init.ts";
import { poll } from "./ns/sys/descriptor.ts";
import { exitNow } from "./ns/sys/process.ts";
import { takeSingleIdNote, unregisterHolder } from "./ns/userns.ts";
import { repairContainers } from "./repair.ts";
import { readContainer } from "./storage/containers.ts";
import { Client } from "./streams.ts";

/** Runs the stage; `clientFd` is the client's socket. It is started before the command knows what will run. */
export function runMonitor(clientFd: number, prepared: Prepared): never {
  const client = new Client(clientFd);
  const launch = waitForLaunch(client);
  try {
    if (launch) live(launch, client, prepared);
    else if (prepared.init) discardInit(prepared.init); // the command found nothing to run
  } finally {
    unregisterHolder();
    exitNow(0); // whatever went wrong: a monitor that stays would hold mounts
  }
}

/** The same process, started anew by its restart policy: a copy of an old one could not be copied safely again. */
export function runAgain(id: string, prepared: Prepared): never {
  try {
    live({ kind: "launch", id }, undefined, prepared);
  } finally {
    unregisterHolder();
    exitNow(0);
  }
}

function live(launch: Launch, client: Client | undefined, { init, failure }: Prepared): void {
  const run = new ContainerRun(readContainer(launch.id)!, client);
  try {
    if (!init) throw failure;
    const note = takeSingleIdNote();
    if (note) client?.send({ kind: "note", text: note });
    run.start(init, launch.windowSize);
    run.watch();
    run.end();
  } catch (error) {
    run.fail(error);
  }
  client?.drop();
  if (init) repairContainers();
  run.startAgain();
}

function waitForLaunch(client: Client): Launch | undefined {
  for (;;) {
    poll([{ fd: client.fd, events: POLLIN }], -1);
    const frames = client.receive(new Uint8Array(65536));
    if (!frames) return undefined;
    const [first, ...early] = frames;
    if (!first) continue;
    client.early = early;
    return JSON.parse(first.payload.toString()) as Launch;
  }
}
