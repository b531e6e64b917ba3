/** Networks as `network ls` and `network inspect` show them, and a container's part of `inspect`: Docker's shapes. */

import { slirpAddresses } from "../net/slirp4netns.ts";
import type { ListStyle } from "../output.ts";
import { type Container, type ContainerNetworking, nameOf } from "../storage/containers.ts";
import {
  listMembers,
  listNetworks,
  type NetworkRecord,
  predefinedId,
  readMember,
  readNetwork,
} from "../storage/networks.ts";
import { goMap, listOrNil, mapOrNil } from "./go-values.ts";
import { inspectPorts } from "./ports.ts";
import { shortId } from "./units.ts";

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

export const networkListStyle: ListStyle = {
  typeName: "network",
  headings: {
    ID: "NETWORK ID",
    Name: "NAME",
    Driver: "DRIVER",
    Scope: "SCOPE",
    IPv4: "IPV4",
    IPv6: "IPV6",
    Internal: "INTERNAL",
    Labels: "LABELS",
    CreatedAt: "CREATED AT",
    Label: (key: string) => key,
  },
  standard: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
};

export function networkRow({ id, name, driver, record }: ShownNetwork, full = false) {
  const labels = record?.labels ?? {};
  return {
    ID: full ? id : shortId(id),
    Name: name,
    Driver: driver,
    Scope: "local",
    IPv4: "true",
    IPv6: "false",
    Internal: String(record?.internal ?? false),
    Labels: Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    CreatedAt: record?.created ?? "",
    Label: (key: string) => (Object.hasOwn(labels, key) ? labels[key] : ""),
  };
}

export function inspectNetwork({ id, name, driver, record }: ShownNetwork) {
  const config = record && {
    Subnet: record.subnet,
    ...(record.ipRange && { IPRange: record.ipRange }),
    Gateway: record.gateway,
  };
  return {
    Name: name,
    Id: id,
    Created: record?.created ?? "0001-01-01T00:00:00Z",
    Scope: "local",
    Driver: driver,
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: { Driver: "default", Options: mapOrNil<string>(null), Config: listOrNil(config && [config]) },
    Internal: record?.internal ?? false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: goMap(Object.fromEntries(record ? inspectMembers(record) : [])),
    Options: goMap(record?.options),
    Labels: goMap(record?.labels),
  };
}

function inspectMembers({ name, subnet }: NetworkRecord) {
  return listMembers(name).map(({ container, endpointId, mac, address }) => {
    const Name = nameOf(container) ?? "";
    const IPv4Address = `${address}/${prefixOf(subnet)}`;
    return [container, { Name, EndpointID: endpointId, MacAddress: mac, IPv4Address, IPv6Address: "" }] as const;
  });
}

function prefixOf(subnet: string): number {
  return Number(subnet.split("/")[1]);
}

/** The names of the networks that a container is in, or its mode. */
export function networkNames({ mode, endpoints }: ContainerNetworking): string[] {
  if (mode === "container") return [];
  return mode === "bridge" ? (endpoints ?? []).map(({ network }) => network) : [mode];
}

/** Docker's HostConfig.NetworkMode. */
export function networkMode(networking: ContainerNetworking): string {
  if (networking.container) return `container:${networking.container}`;
  return networkNames(networking)[0] ?? "none";
}

const noAddress = {
  Gateway: "",
  IPAddress: "",
  IPPrefixLen: 0,
  IPv6Gateway: "",
  GlobalIPv6Address: "",
  GlobalIPv6PrefixLen: 0,
  MacAddress: "",
};

export function networkSettings({ record, state }: Container) {
  const { id, network } = record;
  const isRunning = state.status === "running";
  if (network.mode !== "bridge") {
    const { gateway: Gateway, container: IPAddress } = slirpAddresses;
    const hasAddress = network.mode === "slirp4netns" && isRunning;
    const addresses = hasAddress ? { ...noAddress, Gateway, IPAddress, IPPrefixLen: 24 } : noAddress;
    return {
      Ports: inspectPorts(record.exposedPorts, state.ports),
      ...addresses,
      Networks: goMap(networkNames(network).map((name) => [name, addresses] as const)),
    };
  }
  const networks = (network.endpoints ?? []).map((endpoint) => [endpoint.network, inspectEndpoint(endpoint)] as const);
  const { Gateway, IPAddress, IPPrefixLen, MacAddress } = networks[0]?.[1] ?? noAddress;
  const first = { ...noAddress, Gateway, IPAddress, IPPrefixLen, MacAddress }; // Docker: only of the default network
  return { Ports: inspectPorts(record.exposedPorts, state.ports), ...first, Networks: goMap(networks) };

  function inspectEndpoint(endpoint: NonNullable<ContainerNetworking["endpoints"]>[number]) {
    const known = readNetwork(endpoint.network);
    const member = isRunning ? readMember(endpoint.network, id) : undefined;
    return {
      IPAMConfig: endpoint.address ? { IPv4Address: endpoint.address } : null,
      Links: listOrNil<string>(null),
      Aliases: listOrNil(endpoint.aliases),
      DriverOpts: mapOrNil<string>(null),
      GwPriority: 0,
      NetworkID: known?.id ?? "",
      EndpointID: member?.endpointId ?? "",
      ...noAddress,
      ...(member &&
        known && {
          Gateway: known.internal ? "" : known.gateway,
          IPAddress: member.address,
          IPPrefixLen: prefixOf(known.subnet),
          MacAddress: member.mac,
        }),
      DNSNames: listOrNil(member?.names),
    };
  }
}
