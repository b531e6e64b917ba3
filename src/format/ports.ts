/** Ports as `ps`, `port` and `inspect` show them. */

import type { PortBinding, PublishedPort } from "../storage/containers.ts";
import { goMap, listOrNil } from "./go-values.ts";

/** `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp`; neighbouring ports are one: `0.0.0.0:8000-8002->8000-8002/tcp`. */
export function formatPorts(exposed: string[], published: PublishedPort[] = []): string {
  const names = new Set(published.map(portName));
  const own = exposed.filter((text) => !names.has(text)).map((text) => text.split("/") as [string, string]);
  const groups: { key: string; ports: number[]; hostPorts: number[] }[] = [];
  const sorted = [
    ...published.map(({ hostAddress, hostPort, port, protocol }) => ({
      key: `${hostAddress}/${protocol}`,
      port,
      hostPort,
    })),
    ...own.map(([port, protocol]) => ({ key: `/${protocol}`, port: Number(port), hostPort: Number(port) })),
  ].toSorted((a, b) => a.port - b.port);
  for (const { key, port, hostPort } of sorted) {
    const group = groups.find(
      (each) => each.key === key && each.ports.at(-1) === port - 1 && each.hostPorts.at(-1) === hostPort - 1,
    );
    if (group) {
      group.ports.push(port);
      group.hostPorts.push(hostPort);
    } else groups.push({ key, ports: [port], hostPorts: [hostPort] });
  }
  return groups.map(formatGroup).join(", ");
}

function formatGroup({ key, ports, hostPorts }: { key: string; ports: number[]; hostPorts: number[] }): string {
  const [address, protocol] = key.split("/") as [string, string];
  const range = (numbers: number[]) => (numbers.length > 1 ? `${numbers[0]}-${numbers.at(-1)}` : String(numbers[0]));
  const inside = `${range(ports)}/${protocol}`;
  return address ? `${hostName(address)}:${range(hostPorts)}->${inside}` : inside;
}

/** `0.0.0.0:8080`, `[::]:8080`. */
export function formatHostPort({ hostAddress, hostPort }: PublishedPort): string {
  return `${hostName(hostAddress)}:${hostPort}`;
}

function hostName(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** Docker's NetworkSettings.Ports: null where a port is exposed only. */
export function inspectPorts(exposed: string[], published: PublishedPort[] = []) {
  const byName = Map.groupBy(published, portName);
  const names = new Set([...exposed, ...byName.keys()]);
  return goMap([...names].map((name) => [name, listOrNil((byName.get(name) ?? []).map(toBinding))] as const));
}

/** Docker's HostConfig.PortBindings: as asked for. */
export function portBindings(bindings: PortBinding[]) {
  const byName = Map.groupBy(bindings, portName);
  return goMap([...byName].map(([name, group]) => [name, group.map(toBinding)] as const));
}

function portName({ port, protocol }: Pick<PublishedPort, "port" | "protocol">): string {
  return `${port}/${protocol}`;
}

function toBinding({ hostAddress, hostPort, hostPortEnd }: PortBinding) {
  const range = hostPortEnd === undefined ? String(hostPort) : `${hostPort}-${hostPortEnd}`;
  return { HostIp: hostAddress, HostPort: hostPort ? range : "" };
}
