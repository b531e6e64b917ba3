/** What is told of a program's start and end: of its networks too. Apart from events.ts, which knows nothing of networks. */

import type { ContainerNetworking, ContainerRecord } from "./containers.ts";
import { recordContainerEvent, recordNetworkEvent } from "./events.ts";
import { readNetwork } from "./networks.ts";

/** With Docker the networks come before the program, and go after it. */
export function recordStart(record: ContainerRecord): void {
  recordNetworks("connect", record);
  recordContainerEvent("start", record);
}

export function recordDeath(record: ContainerRecord, exitCode: number | undefined): void {
  recordContainerEvent("die", record, { exitCode: String(exitCode) });
  recordNetworks("disconnect", record);
}

function recordNetworks(action: "connect" | "disconnect", { id, network }: ContainerRecord): void {
  for (const each of networksOf(network)) recordNetworkEvent(action, each, { container: id });
}

/** Of another container's network nothing is told but by that one. */
function networksOf({ mode, endpoints = [] }: ContainerNetworking): { id: string; name: string; driver: string }[] {
  if (mode === "container") return [];
  if (mode !== "bridge") return [{ id: mode, name: mode, driver: mode === "none" ? "null" : mode }];
  return endpoints.flatMap(({ network }) => readNetwork(network) ?? []);
}
