/** Networks as `network ls` and `network inspect` show them, and a container's part of `inspect`: Docker's shapes. */

import { toOwnNetwork } from "../net/own-network.ts";
import { hostHasIpv6, subnetsOf } from "../networks.ts";
import type { ListStyle } from "../output.ts";
import { type Container, type ContainerNetworking, nameOf } from "../storage/containers.ts";
import { listMembers, type NetworkRecord, readMember, readNetwork } from "../storage/networks.ts";
import { goMap, listOrNil, mapOrNil } from "./go-values.ts";
import { networkNames, type ShownNetwork } from "./network-names.ts";
import { inspectPorts } from "./ports.ts";
import { shortId } from "./units.ts";

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
    IPv6: String(record?.ipv6 !== undefined),
    Internal: String(record?.internal ?? false),
    Labels: Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    CreatedAt: record?.created ?? "",
    Label: (key: string) => (Object.hasOwn(labels, key) ? labels[key] : ""),
  };
}

export function inspectNetwork({ id, name, driver, record }: ShownNetwork) {
  const config =
    record &&
    subnetsOf(record).map(({ subnet: Subnet, ipRange: IPRange, gateway: Gateway }) => {
      return { Subnet, ...(IPRange && { IPRange }), Gateway };
    });
  return {
    Name: name,
    Id: id,
    Created: record?.created ?? "0001-01-01T00:00:00Z",
    Scope: "local",
    Driver: driver,
    EnableIPv4: true,
    EnableIPv6: record?.ipv6 !== undefined,
    IPAM: { Driver: "default", Options: mapOrNil<string>(null), Config: listOrNil(config) },
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

function inspectMembers({ name, subnet, ipv6 }: NetworkRecord) {
  return listMembers(name).map(({ container, endpointId, mac, address, address6 }) => {
    const Name = nameOf(container) ?? "";
    const IPv4Address = `${address}/${prefixOf(subnet)}`;
    const IPv6Address = address6 && ipv6 ? `${address6}/${prefixOf(ipv6.subnet)}` : "";
    return [container, { Name, EndpointID: endpointId, MacAddress: mac, IPv4Address, IPv6Address }] as const;
  });
}

function prefixOf(subnet: string): number {
  return Number(subnet.split("/")[1]);
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
    const addresses = isRunning ? inspectOwn(network) : noAddress;
    return {
      Ports: inspectPorts(record.exposedPorts, state.ports),
      ...addresses,
      Networks: goMap(networkNames(network).map((name) => [name, addresses] as const)),
    };
  }
  const networks = (network.endpoints ?? []).map((endpoint) => [endpoint.network, inspectEndpoint(endpoint)] as const);
  const first = networks[0]?.[1] ?? noAddress; // Docker: only of the default network
  const keys = Object.keys(noAddress) as (keyof typeof noAddress)[];
  return {
    Ports: inspectPorts(record.exposedPorts, state.ports),
    ...noAddress,
    ...Object.fromEntries(keys.map((key) => [key, first[key]])),
    Networks: goMap(networks),
  };

  function inspectEndpoint(endpoint: NonNullable<ContainerNetworking["endpoints"]>[number]) {
    const known = readNetwork(endpoint.network);
    const member = isRunning ? readMember(endpoint.network, id) : undefined;
    return {
      IPAMConfig: inspectAsked(endpoint),
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
          ...(member.address6 &&
            known.ipv6 && {
              IPv6Gateway: known.internal ? "" : known.ipv6.gateway,
              GlobalIPv6Address: member.address6,
              GlobalIPv6PrefixLen: prefixOf(known.ipv6.subnet),
            }),
          MacAddress: member.mac,
        }),
      DNSNames: listOrNil(member?.names),
    };
  }
}

function inspectAsked({ address, address6 }: NonNullable<ContainerNetworking["endpoints"]>[number]) {
  if (!address && !address6) return null;
  return { ...(address && { IPv4Address: address }), ...(address6 && { IPv6Address: address6 }) };
}

/** Of a network that is the container's own. */
function inspectOwn({ mode, own, allowHostLoopback }: ContainerNetworking): typeof noAddress {
  if (mode !== "slirp4netns" && mode !== "pasta") return noAddress;
  const [v4, v6] = toOwnNetwork(own, allowHostLoopback, hostHasIpv6()).addresses;
  return {
    ...noAddress,
    Gateway: v4.gateway!,
    IPAddress: v4.address,
    IPPrefixLen: prefixOf(v4.subnet),
    ...(v6 && {
      IPv6Gateway: v6.gateway!,
      GlobalIPv6Address: v6.address,
      GlobalIPv6PrefixLen: prefixOf(v6.subnet),
    }),
  };
}
