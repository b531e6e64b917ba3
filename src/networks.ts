/** Networks as records: making them, their subnets, addresses for who comes. Nothing here runs. */

import { ConflictError, NotFoundError, PodError, UsageError } from "./errors.ts";
import { listRoutes, mainAddress } from "./net/links.ts";
import { type Netlink, openNetlink } from "./net/netlink-socket.ts";
import { slirpMaximumPrefix } from "./net/slirp4netns.ts";
import {
  addressBytes,
  bitsOf,
  contains,
  formatAddress,
  formatSubnet,
  freeSubnet,
  freeSubnet6,
  nth,
  overlap,
  parseAddress,
  parseSubnet,
  type Subnet,
  sizeOf,
} from "./net/subnets.ts";
import {
  gateway6,
  gatewayOf,
  largestMtuBytes,
  resolverOf as resolverIn,
  smallestMtuBytes,
  smallestMtuBytes6,
} from "./net/way-out.ts";
import { existsSync, readFileSync } from "./ns/sys/fs.ts";
import { canPing } from "./ns/sys/socket.ts";
import type { Endpoint } from "./storage/containers.ts";
import { recordNetworkEvent } from "./storage/events.ts";
import { withLock } from "./storage/files.ts";
import {
  type Addressing,
  listNetworks,
  type Member,
  type NetworkRecord,
  predefinedId,
  predefinedNetworks,
  putNetwork,
  readNetwork,
} from "./storage/networks.ts";

export interface NetworkOptions {
  name: string;
  /** One of IPv4 and one of IPv6 at most; gateways and ranges lie in them. */
  subnets: string[];
  gateways: string[];
  ipRanges: string[];
  /** A subnet of IPv6 says so too. */
  ipv6: boolean;
  internal: boolean;
  labels: Record<string, string>;
  options: Record<string, string>;
}

export const defaultNetwork = "bridge";
const otherMeanings = ["default", "slirp4netns", "pasta"]; // of --network: nobody could get into a network of that name

/** Throws UsageError and ConflictError, with Docker's texts where it has one. */
export function createNetwork(options: NetworkOptions): NetworkRecord {
  checkNetworkName(options.name);
  if (otherMeanings.includes(options.name))
    throw new ConflictError(`operation is not permitted on predefined ${options.name} network`);
  return withLock("networks", () => {
    const networks = listNetworks();
    if (predefinedNetworks.includes(options.name) || networks.some(({ name }) => name === options.name)) {
      throw new ConflictError(`network with name ${options.name} already exists`);
    }
    return record(options, networks);
  });
}

/** `bridge` comes to be when it is first used. */
export function requireNetwork(name: string): NetworkRecord {
  const network = readNetwork(name);
  if (network) return network;
  if (name !== defaultNetwork) throw new NotFoundError(`network ${name} not found`);
  return withLock("networks", () => {
    const nothing = { subnets: [], gateways: [], ipRanges: [], labels: {}, options: {} };
    return readNetwork(name) ?? record({ name, internal: false, ipv6: false, ...nothing }, listNetworks());
  });
}

function record(options: NetworkOptions, others: NetworkRecord[]): NetworkRecord {
  const { name, internal, labels } = options;
  const ips = toAddressing(options, takenSubnets(others));
  const mtuBytes = toMtu(options.options, ips.ipv6 !== undefined);
  const isDefault = name === defaultNetwork;
  const network: NetworkRecord = {
    version: 1,
    id: isDefault ? predefinedId(name) : Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex"),
    name,
    created: new Date().toISOString(),
    driver: "bridge",
    ...ips,
    internal,
    ...(toHostLoopback(options) && { allowHostLoopback: true }),
    labels,
    options: options.options,
    mtuBytes,
  };
  putNetwork(network);
  recordNetworkEvent("create", network);
  return network;
}

const widestPrefix = 8; // a VPN that takes everything writes routes of /1 or so, beside the default one, and leads to no subnet

/** Where the host's routes lead, and the other networks. */
function takenSubnets(networks: NetworkRecord[]): { routes: Subnet[]; networks: Subnet[] } {
  const routes = withNetlink(listRoutes).filter(({ prefix }) => prefix >= widestPrefix);
  return { routes, networks: networks.flatMap(subnetsOf).map(({ subnet }) => parseSubnet(subnet)!) };
}

/** The address under which the host is found; undefined where it has none but loopback's. */
export function hostAddress(): string | undefined {
  const address = withNetlink(mainAddress);
  return address && formatAddress(address);
}

/** Why the ways out can't send pings, and what lets them; undefined where they can. */
export function missingForPing(): string | undefined {
  if (canPing()) return undefined;
  return "the host's net.ipv4.ping_group_range leaves you out: sudo sysctl -w 'net.ipv4.ping_group_range=0 2147483647'";
}

/** proc(5): of each address of IPv6 a line; loopback has one. */
export function hostHasIpv6(): boolean {
  return existsSync("/proc/net/if_inet6") && readFileSync("/proc/net/if_inet6", "utf8") !== "";
}

function withNetlink<T>(action: (netlink: Netlink) => T): T {
  const netlink = openNetlink();
  try {
    return action(netlink);
  } finally {
    netlink.close();
  }
}

/** IPv4 and, where there is one, IPv6. */
export function subnetsOf(network: NetworkRecord): Addressing[] {
  return network.ipv6 ? [network, network.ipv6] : [network];
}

function toAddressing(
  options: NetworkOptions,
  taken: ReturnType<typeof takenSubnets>,
): Addressing & Pick<NetworkRecord, "ipv6"> {
  const { internal } = options;
  const given = options.subnets.map((text) => checkSubnet(text, internal));
  const of = (version: 4 | 6) => given.filter((subnet) => subnet.version === version);
  if (of(4).length > 1 || of(6).length > 1)
    throw new UsageError("a bridge network has at most one subnet of IPv4 and one of IPv6");
  if (given.some((subnet) => taken.networks.some((other) => overlap(other, subnet)))) {
    throw new ConflictError("invalid pool request: Pool overlaps with other one on this address space");
  }
  const all = [...taken.routes, ...taken.networks];
  const v4 = of(4)[0] ?? freeSubnet(all);
  const v6 = of(6)[0] ?? (options.ipv6 ? freeSubnet6(all) : undefined);
  if (v6 && !hostHasIpv6())
    throw new PodError("this host has no IPv6: its kernel was told so by ipv6.disable or disable_ipv6");
  const subnets = v6 ? [v4, v6] : [v4];
  const isAsked = (subnet: Subnet) => given.includes(subnet) || (subnet === v6 && options.ipv6);
  const [gateways, ranges] = [new Map<Subnet, string>(), new Map<Subnet, string>()];
  for (const text of options.gateways) gateways.set(subnetFor(text, "gateway", subnets.filter(isAsked)), text);
  for (const text of options.ipRanges) ranges.set(subnetFor(text, "range", subnets.filter(isAsked)), text);
  const addressing = (subnet: Subnet) => toSubnetAddressing(subnet, gateways.get(subnet), ranges.get(subnet), internal);
  return { ...addressing(v4), ...(v6 && { ipv6: addressing(v6) }) };
}

/** The subnet in which an address or a range lies; slirp4netns's router of IPv6 is in none, and belongs to that of IPv6. */
function subnetFor(text: string, what: "gateway" | "range", subnets: Subnet[]): Subnet {
  const address = what === "gateway" ? parseAddress(text) : undefined;
  if (what === "gateway" && !address) throw new UsageError(`invalid gateway address ${text}`);
  const range = address ? { ...address, prefix: bitsOf(address.version) } : parseSubnet(text);
  const isRouter = (subnet: Subnet) => text === gateway6 && subnet.version === 6;
  const found = subnets.find(
    (subnet) => isRouter(subnet) || (range && contains(subnet, range) && range.prefix >= subnet.prefix),
  );
  if (!found) throw new UsageError(`no matching subnet for ${what} ${text}`);
  return found;
}

function toSubnetAddressing(
  subnet: Subnet,
  gateway: string | undefined,
  range: string | undefined,
  internal: boolean,
): Addressing {
  const outward = subnet.version === 4 ? gatewayOf(subnet) : gateway6;
  const fixed = internal ? formatAddress(nth(subnet, 1n)) : outward;
  return {
    subnet: formatSubnet(subnet),
    gateway: gateway === undefined ? fixed : checkGateway(gateway, internal ? undefined : fixed),
    ...(range && { ipRange: formatSubnet(parseSubnet(range)!) }),
  };
}

/** What slirp4netns fixes holds only for networks with a way out. */
function checkSubnet(text: string, internal: boolean): Subnet {
  const subnet = parseSubnet(text);
  if (!subnet) throw new UsageError(`invalid CIDR address: ${text}`);
  const { version, prefix } = subnet;
  const largest = version === 4 ? 30 : 126;
  if (prefix > largest || prefix < 8)
    throw new UsageError(`invalid subnet ${text}: the prefix must be 8 to ${largest}`);
  if (version === 6 || internal || prefix <= slirpMaximumPrefix) return subnet;
  throw new UsageError(
    `subnet ${text} is too small: slirp4netns, the way out, takes prefixes to /${slirpMaximumPrefix}`,
    { hint: "with --internal, which has no way out, it can be /30" },
  );
}

function checkGateway(text: string, fixed: string | undefined): string {
  const gateway = formatAddress(parseAddress(text)!);
  if (!fixed || fixed === gateway) return gateway;
  throw new UsageError(`gateway ${text} is not possible: slirp4netns, the way out, is always ${fixed}`, {
    hint: "with --internal, which has no way out, any address can be its name",
  });
}

const hostLoopbackOption = "allow_host_loopback";

function toHostLoopback({ options, internal }: NetworkOptions): boolean {
  const value = options[hostLoopbackOption];
  if (value === undefined) return false;
  if (value !== "true" && value !== "false")
    throw new UsageError(`invalid ${hostLoopbackOption} ${value}: it must be true or false`);
  if (internal && value === "true") throw new UsageError(`conflicting options: --internal and ${hostLoopbackOption}`);
  return value === "true";
}

const mtuOptions = ["mtu", "com.docker.network.driver.mtu"];

function toMtu(options: Record<string, string>, hasIpv6: boolean): number {
  const name = mtuOptions.find((each) => each in options);
  if (name === undefined) return largestMtuBytes;
  const bytes = Number(options[name]);
  const smallest = hasIpv6 ? smallestMtuBytes6 : smallestMtuBytes;
  if (Number.isInteger(bytes) && bytes >= smallest && bytes <= largestMtuBytes) return bytes;
  throw new UsageError(`invalid mtu ${options[name]}: it must be ${smallest} to ${largestMtuBytes}`);
}

function checkNetworkName(name: string): void {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) && name.length <= 200) return;
  throw new UsageError(
    `invalid network name ${JSON.stringify(name)}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, and 200 of them at most`,
  );
}

/** Of a container that is to be connected twice. */
export function alreadyIn(container: string, network: string): ConflictError {
  return new ConflictError(`endpoint with name ${container} already exists in network ${network}`);
}

/** The addresses for one more: those asked for, or the first that nobody has. Throws with Docker's texts. */
export function takeAddresses(
  network: NetworkRecord,
  members: Member[],
  asked: Pick<Endpoint, "address" | "address6">,
): Pick<Member, "address" | "address6"> {
  const { ipv6 } = network;
  if (asked.address6 !== undefined && !ipv6) throw notInSubnets(asked.address6);
  const taken = new Set(members.flatMap(({ address, address6 }) => (address6 ? [address, address6] : [address])));
  const take = (addressing: Addressing, wanted: string | undefined) => takeAddress(network, addressing, taken, wanted);
  return { address: take(network, asked.address), ...(ipv6 && { address6: take(ipv6, asked.address6) }) };
}

function takeAddress(network: NetworkRecord, addressing: Addressing, members: Set<string>, asked?: string): string {
  const subnet = parseSubnet(addressing.subnet)!;
  const own = ownAddresses(subnet, addressing.gateway, network.internal);
  const isTaken = (address: string) => members.has(address) || own.includes(address);
  if (asked !== undefined) {
    const address = parseAddress(asked);
    if (!address || !contains(subnet, address)) throw notInSubnets(asked);
    if (isTaken(formatAddress(address))) throw new ConflictError(`Address already in use: ${asked}`);
    return formatAddress(address);
  }
  const range = parseSubnet(addressing.ipRange ?? addressing.subnet)!;
  for (let offset = 0n; offset < sizeOf(range); offset++) {
    const address = formatAddress(nth(range, offset));
    if (!isTaken(address)) return address;
  }
  const pools = `IPv${subnet.version} addresses on this network's address pools`;
  throw new PodError(`no available ${pools}: ${network.name} (${network.id})`);
}

function notInSubnets(asked: string): UsageError {
  return new UsageError(`invalid endpoint settings: no configured subnet contains IP address ${asked}`);
}

/** No member's: the network's own, its first, which people take for a gateway's, the gateway's and, of IPv4, the broadcast address and the resolver's. */
function ownAddresses(subnet: Subnet, gateway: string, internal: boolean): string[] {
  const first = [0n, 1n].map((offset) => formatAddress(nth(subnet, offset)));
  if (subnet.version === 6) return [gateway, ...first];
  const last = formatAddress(nth(subnet, sizeOf(subnet) - 1n));
  return [gateway, ...first, last, ...(internal ? [] : [resolverIn(subnet)])];
}

export function resolverOf({ subnet }: Pick<NetworkRecord, "subnet">): string {
  return resolverIn(parseSubnet(subnet)!);
}

/** As Docker makes it of the address: who gets an address again has the hardware address that others know for it. */
export function hardwareOf(address: string): string {
  const bytes = [2, 0x42, ...addressBytes(parseAddress(address)!)];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
