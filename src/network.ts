/** What the user does with networks besides making them: connect, disconnect, remove, prune, reload. */

import { askMonitor } from "./attach.ts";
import { ConflictError, NotFoundError, PodError } from "./errors.ts";
import type { ClientMessage } from "./frames.ts";
import { toEndpoint } from "./network-options.ts";
import { defaultNetwork, requireNetwork } from "./networks.ts";
import {
  type Container,
  type Endpoint,
  findContainer,
  listContainers,
  nameOf,
  passOver,
} from "./storage/containers.ts";
import { recordNetworkEvent } from "./storage/events.ts";
import {
  deleteNetwork,
  findNetwork,
  listMembers,
  listNetworks,
  type NetworkRecord,
  predefinedNetworks,
  readNetwork,
  withNetworkLock,
} from "./storage/networks.ts";
import { changeAndTell } from "./update.ts";

/** Of a running container at once, of another one when it starts. Errors are Docker's. */
export function connect(networkText: string, containerText: string, as: Omit<Endpoint, "network">): void {
  const network = networkText === defaultNetwork ? requireNetwork(networkText) : existing(networkText);
  const container = connectable(containerText);
  const { record } = container;
  const endpoints = record.network.endpoints ?? [];
  if (endpoints.some((each) => each.network === network.name)) {
    throw new ConflictError(`endpoint with name ${record.name} already exists in network ${network.name}`);
  }
  const endpoint = toEndpoint(network.name, as);
  change(container, [...endpoints, endpoint], { kind: "connect", endpoint });
}

/** With `force` also where the container is gone: nothing of it is in the network then. */
export function disconnect(networkText: string, containerText: string, { force }: { force: boolean }): void {
  const network = existing(networkText);
  let container: Container;
  try {
    container = connectable(containerText);
  } catch (error) {
    if (force && error instanceof NotFoundError) return;
    throw error;
  }
  const { record } = container;
  const endpoints = record.network.endpoints ?? [];
  const others = endpoints.filter((each) => each.network !== network.name);
  if (others.length === endpoints.length) {
    throw new NotFoundError(`container ${record.id} is not connected to network ${network.name}`);
  }
  change(container, others, { kind: "disconnect", network: network.name });
}

/** `host` and `none` have no record, and nobody can be connected to them later. */
function existing(text: string): NetworkRecord {
  if (text === "host")
    throw new PodError("cannot disconnect container from host network - container was created in host mode");
  if (text === "none") {
    throw new PodError(
      "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    );
  }
  return findNetwork(text);
}

function connectable(text: string): Container {
  const container = findContainer(text);
  const { mode } = container.record.network;
  if (mode === "bridge") return container;
  if (mode === "host") {
    throw new PodError(
      "container sharing network namespace with another container or host cannot be connected to any other network",
    );
  }
  throw new PodError(`a container with --network ${mode} cannot be connected to networks`);
}

function change({ record, state }: Container, endpoints: Endpoint[], message: ClientMessage): void {
  if (state.status === "running") askMonitor(record.id, message);
  changeAndTell(record.id, () => ({ network: { ...record.network, endpoints } }));
}

export function runningContainers(): string[] {
  return listContainers(({ status }) => status === "running", passOver).map(({ record }) => record.id);
}

/** Starts ways out again that were lost. Throws NotFoundError, or ConflictError where it does not run. */
export function reloadNetworks(text: string): string {
  const { record, state } = findContainer(text);
  if (state.status !== "running") throw new ConflictError(`container ${record.id} is not running`);
  askMonitor(record.id, { kind: "reload-networks" });
  return record.id;
}

/** Returns its name. Errors are Docker's. */
export function removeNetwork(text: string): string {
  if (predefinedNetworks.includes(text))
    throw new ConflictError(`${text} is a pre-defined network and cannot be removed`);
  const { name } = findNetwork(text);
  const members = withNetworkLock(name, () => deleteUnlessUsed(name));
  if (members.length === 0) return name;
  const shown = members.map(({ container, endpointId }) => {
    const owner = nameOf(container) ?? container.slice(0, 12);
    return `name:${JSON.stringify(owner)} id:${JSON.stringify(endpointId.slice(0, 12))}`;
  });
  throw new ConflictError(`error while removing network: network ${name} has active endpoints (${shown.join(", ")})`);
}

/** Who is in it; nobody where it is gone. */
function deleteUnlessUsed(name: string): ReturnType<typeof listMembers> {
  const record = readNetwork(name);
  if (!record) throw new NotFoundError(`network ${name} not found`);
  const members = listMembers(name);
  if (members.length) return members;
  deleteNetwork(name);
  recordNetworkEvent("destroy", record);
  return [];
}

/** Removes the networks that nobody is in. `select` gives those that are meant. Returns their names. */
export function pruneNetworks(select: (networks: NetworkRecord[]) => NetworkRecord[]): string[] {
  const own = listNetworks().filter(({ name }) => !predefinedNetworks.includes(name));
  return select(own).flatMap(({ name }) => {
    const isGone = withNetworkLock(name, () => readNetwork(name) && deleteUnlessUsed(name).length === 0);
    return isGone ? [name] : [];
  });
}
