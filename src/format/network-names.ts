/** What there is of networks, and which a container is in: `ps` needs no more of them. */

import type { ContainerNetworking } from "../storage/containers.ts";
import { listNetworks, type NetworkRecord, predefinedId } from "../storage/networks.ts";

/** Also what has no record: `host` and `none` never, `bridge` until its first use. */
export interface ShownNetwork {
  name: string;
  id: string;
  driver: string;
  record?: NetworkRecord;
}

/** By name, as Docker sorts them. */
export function allNetworks(): ShownNetwork[] {
  const networks = listNetworks().map((record): ShownNetwork => ({ ...record, record }));
  const implied = [
    { name: "bridge", driver: "bridge" },
    { name: "host", driver: "host" },
    { name: "none", driver: "null" },
  ].filter(({ name }) => !networks.some((network) => network.name === name));
  const all = [...networks, ...implied.map((network) => ({ ...network, id: predefinedId(network.name) }))];
  return all.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The names of the networks that a container is in, or its mode. */
export function networkNames({ mode, endpoints }: ContainerNetworking): string[] {
  if (mode === "container") return [];
  return mode === "bridge" ? (endpoints ?? []).map(({ network }) => network) : [mode];
}
