/** The files by which a container finds names and is found: hosts, hostname, resolv.conf, bind-mounted over those in its /etc. */

import { join } from "node:path";
import { hasCode, SyscallError } from "./errors.ts";
import { type OwnNetworkPlan, toOwnNetwork } from "./net/own-network.ts";
import { hostAddress, hostHasIpv6, resolverOf } from "./networks.ts";
import { O_NONBLOCK, O_RDWR } from "./ns/constants.ts";
import { close, ftruncate, open, readDescriptor } from "./ns/sys/file.ts";
import { readFileSync } from "./ns/sys/fs.ts";
import { type ContainerRecord, containerDir } from "./storage/containers.ts";
import { withLock, writeAt } from "./storage/files.ts";
import { listMembers, listNetworks, type Member, type NetworkRecord, readNetwork } from "./storage/networks.ts";

/** As they are when the container is made, by their names. */
export function toFiles(record: ContainerRecord): Record<string, string> {
  return {
    hostname: `${record.hostname}\n`,
    hosts: toHosts(record),
    "resolv.conf": toResolvConf(record),
  };
}

export function hostName(): string {
  return readFileSync("/proc/sys/kernel/hostname", "utf8").trim();
}

/** Of a network with a bridge the own address is known, and written, when it runs. */
function toHosts(record: ContainerRecord): string {
  const { mode } = record.network;
  const extra = record.extraHosts.map((entry) => {
    const at = entry.indexOf(":");
    return `${toAddress(entry.slice(at + 1), record)}\t${entry.slice(0, at)}`;
  });
  const own = toOwn(record)?.addresses[0].address ?? "127.0.1.1";
  const names = record.hostname === hostName() ? [record.hostname] : [record.hostname, record.name];
  return `${[
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "ff00::0\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
    ...extra,
    ...(mode === "bridge" || mode === "none" ? [] : hostLines(hostAddressFor(record))),
    ...(mode === "bridge" ? [] : [`${own}\t${names.join(" ")}`]),
  ].join("\n")}\n`;
}

/** `--add-host NAME:host-gateway` is the host. */
function toAddress(text: string, record: ContainerRecord): string {
  if (text === "host-gateway") return hostAddressFor(record) ?? "127.0.0.1";
  return text.replace(/^\[(.*)\]$/, "$1");
}

/** Where the container reaches the host; undefined where the host has no address but loopback's, and that is closed. */
export function hostAddressFor(record: ContainerRecord): string | undefined {
  const { mode, allowHostLoopback, endpoints } = record.network;
  if (mode === "host") return "127.0.0.1";
  if (allowHostLoopback) return toOwn(record)?.addresses[0].gateway;
  return gatewayToLoopback(endpoints?.map(({ network }) => readNetwork(network))) ?? hostAddress();
}

/** Of the first network whose gateway is the host's loopback. */
function gatewayToLoopback(networks: (NetworkRecord | undefined)[] = []): string | undefined {
  return networks.find((network) => network?.allowHostLoopback)?.gateway;
}

function toOwn({ network: { mode, own, allowHostLoopback } }: ContainerRecord): OwnNetworkPlan | undefined {
  return mode === "slirp4netns" || mode === "pasta" ? toOwnNetwork(own, allowHostLoopback, hostHasIpv6()) : undefined;
}

/** As Docker Desktop and podman name the host. */
const hostNames = "host.docker.internal host.containers.internal";

function hostLines(address: string | undefined): string[] {
  return address === undefined ? [] : [`${address}\t${hostNames}`];
}

export const resolvConfPath = "/etc/resolv.conf";

/** Undefined where it can't be read: there is none, or it is just being replaced. */
export function hostResolvConf(): string | undefined {
  try {
    return readFileSync(resolvConfPath, "utf8");
  } catch {
    return undefined;
  }
}

/** slirp4netns answers for the host's resolvers, loopback ones too; search domains and options stay the host's unless given. */
export function toResolvConf(record: ContainerRecord, network?: NetworkRecord, host = hostResolvConf() ?? ""): string {
  const { mode, dns } = record.network;
  const own = toOwn(record);
  if (!own && mode !== "bridge" && !dns) return host;
  const lines = host.split("\n");
  const hosts = (word: RegExp) => lines.filter((line) => word.test(line));
  const given = (word: string, values: string[] | undefined) => (values?.length ? [`${word} ${values.join(" ")}`] : []);
  const servers = dns?.servers.map((server) => `nameserver ${server}`) ?? [];
  const search = given(
    "search",
    dns?.search.filter((domain) => domain !== "."),
  );
  const options = given("options", dns?.options);
  return `${[
    ...(servers.length
      ? servers
      : ownResolver(own?.resolver ?? (network && resolverOf(network)), mode, hosts(/^\s*nameserver\s/))),
    ...(dns?.search.length ? search : hosts(/^\s*(search|domain)\s/)),
    ...(options.length ? options : hosts(/^\s*options\s/)),
  ].join("\n")}\n`;
}

/** A network without a way out has none: a name that is not in hosts is then unknown at once. */
function ownResolver(resolver: string | undefined, mode: string, hosts: string[]): string[] {
  if (resolver !== undefined) return [`nameserver ${resolver}`];
  return mode === "bridge" ? [] : hosts;
}

/** `network`: the one that leads out. When the container starts: the host's file may have changed since it was made. */
export function rewriteResolvConf(record: ContainerRecord, network: NetworkRecord | undefined): void {
  writeInPlace(join(containerDir(record.id), "resolv.conf"), () => toResolvConf(record, network));
}

/** The host's has changed, from `before`, while the container runs. What the container has written itself stays. */
export function followResolvConf(record: ContainerRecord, network: NetworkRecord | undefined, before: string): void {
  writeInPlace(join(containerDir(record.id), "resolv.conf"), (text) =>
    text === toResolvConf(record, network, before) ? toResolvConf(record, network) : text,
  );
}

/** The host has perhaps another address than when the container, which has a network of its own, was made. */
export function rewriteOwnHosts(record: ContainerRecord): void {
  const address = hostAddressFor(record);
  if (address === undefined) return;
  const line = new RegExp(`^\\S+\\t${hostNames}$`, "m");
  writeInPlace(join(containerDir(record.id), "hosts"), (text) => text.replace(line, `${address}\t${hostNames}`));
}

/** The hosts file of a member of networks names the host by the address that it has now. */
export function knowsHost({ id }: ContainerRecord): boolean {
  const [line] = hostLines(hostAddress());
  if (line === undefined) return true;
  let isKnown = true;
  writeInPlace(join(containerDir(id), "hosts"), (text) => {
    isKnown = text.includes(line);
    return text;
  });
  return isKnown;
}

const mark = "\t# pod"; // ends the lines that are ours; all others stay
const hostsLimitBytes = 1 << 20; // a container may write to its file

/** Tells the members of these networks of each other, after somebody has come, gone or got another name; and who has gone, `former`. */
export function rewriteHosts(networks: string[], former?: string): void {
  withLock("hosts", () => {
    const all = listNetworks().map((network) => ({ network, members: listMembers(network.name) }));
    const changed = all.filter(({ network }) => networks.includes(network.name)).flatMap(({ members }) => members);
    const host = hostAddress();
    const ids = new Set([...(former === undefined ? [] : [former]), ...changed.map(({ container }) => container)]);
    for (const id of ids) {
      const own = all.filter(({ members }) => members.some(({ container }) => container === id));
      const isOut = own.some(({ network }) => !network.internal);
      const ofHost = gatewayToLoopback(own.map(({ network }) => network)) ?? (isOut ? host : undefined);
      const lines = [...own.flatMap(({ members }) => hostsLines(members, id)), ...hostLines(ofHost)];
      writeInPlace(join(containerDir(id), "hosts"), (text) => replaceMarked(text, lines));
    }
  });
}

/** The container's own comes first. */
function hostsLines(members: Member[], id: string): string[] {
  const isOwn = ({ container }: Member) => container === id;
  const sorted = [...members.filter(isOwn), ...members.filter((member) => !isOwn(member))];
  return sorted.flatMap(({ address, address6, names }) =>
    [address, ...(address6 ? [address6] : [])].map((each) => `${each}\t${names.join(" ")}`),
  );
}

/** `text` with these as the marked lines. */
export function replaceMarked(text: string, lines: string[]): string {
  const kept = text.split("\n").filter((line) => line && !line.endsWith(mark));
  return `${[...kept, ...lines.map((line) => line + mark)].join("\n")}\n`;
}

/**
 * The file stays the same one, since it is mounted; never empty for who reads it meanwhile. Its container may do with it what
 * it likes, run it (ETXTBSY), or have a lease on it (fcntl(2), F_SETLEASE), for which open(2) else waits 45 seconds: where it
 * can't be written, or is too long, it stays as it is, and nobody else is held up.
 */
function writeInPlace(path: string, change: (text: string) => string): void {
  try {
    const fd = open(path, O_RDWR | O_NONBLOCK);
    try {
      const before = readDescriptor(fd, path, hostsLimitBytes + 1);
      const after = Buffer.from(change(before.toString()));
      if (Math.max(before.length, after.length) > hostsLimitBytes || after.equals(before)) return;
      writeAt(fd, after, 0);
      if (after.length < before.length) ftruncate(fd, after.length);
    } finally {
      close(fd);
    }
  } catch (error) {
    if (!(error instanceof SyscallError) && !hasCode(error, "ENOSPC", "EDQUOT")) throw error;
  }
}
