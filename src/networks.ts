/** Networks as records: making them, their subnets, addresses for who comes. Nothing here runs. */

import { ConflictError, NotFoundError, PodError, UsageError } from "./errors.ts";
import { listRoutes, mainAddress } from "./net/links.ts";
import { type Netlink, openNetlink } from "./net/netlink-socket.ts";
import { largestMtuBytes, slirpMaximumPrefix, slirpOffsets } from "./net/slirp4netns.ts";
import {
  type Address,
  addressBytes,
  contains,
  formatAddress,
  formatSubnet,
  freeSubnet,
  nth,
  overlap,
  parseAddress,
  parseSubnet,
  type Subnet,
  sizeOf,
} from "./net/subnets.ts";
import { recordNetworkEvent } from "./storage/events.ts";
import { withLock } from "./storage/files.ts";
import {
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
  subnet?: string;
  gateway?: string;
  ipRange?: string;
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
    const options = { name, internal: false, labels: {}, options: {} };
    return readNetwork(name) ?? record(options, listNetworks());
  });
}

function record(options: NetworkOptions, others: NetworkRecord[]): NetworkRecord {
  const { name, internal, labels } = options;
  const isDefault = name === defaultNetwork;
  const network: NetworkRecord = {
    version: 1,
    id: isDefault ? predefinedId(name) : Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex"),
    name,
    created: new Date().toISOString(),
    driver: "bridge",
    ...toAddresses(options, takenSubnets(others)),
    internal,
    labels,
    options: options.options,
    mtuBytes: toMtu(options.options),
  };
  putNetwork(network);
  recordNetworkEvent("create", network);
  return network;
}

const widestPrefix = 8; // a VPN that takes everything writes routes of /1 or so, beside the default one, and leads to no subnet

/** Where the host's routes lead, and the other networks. */
function takenSubnets(networks: NetworkRecord[]): { routes: Subnet[]; networks: Subnet[] } {
  const routes = withNetlink(listRoutes).filter(({ prefix }) => prefix >= widestPrefix);
  return { routes, networks: networks.map(({ subnet }) => parseSubnet(subnet)!) };
}

/** The address under which the host is found; undefined where it has none but loopback's. */
export function hostAddress(): string | undefined {
  const address = withNetlink(mainAddress);
  return address && formatAddress(address);
}

function withNetlink<T>(action: (netlink: Netlink) => T): T {
  const netlink = openNetlink();
  try {
    return action(netlink);
  } finally {
    netlink.close();
  }
}

function toAddresses(
  { subnet: given, gateway: asked, ipRange, internal }: NetworkOptions,
  taken: ReturnType<typeof takenSubnets>,
): Pick<NetworkRecord, "subnet" | "gateway" | "ipRange"> {
  if (!given && (asked || ipRange)) throw new UsageError("no matching subnet for gateway or range: give --subnet too");
  const subnet = given ? checkSubnet(given, internal) : freeSubnet([...taken.routes, ...taken.networks]);
  if (given && taken.networks.some((other) => overlap(other, subnet))) {
    throw new ConflictError("invalid pool request: Pool overlaps with other one on this address space");
  }
  const fixed = nth(subnet, internal ? 1n : slirpOffsets.gateway);
  const gateway = asked ? checkGateway(asked, subnet, internal ? undefined : fixed) : fixed;
  const range = ipRange === undefined ? undefined : parseSubnet(ipRange);
  if (ipRange !== undefined && (!range || !overlap(range, subnet) || range.prefix < subnet.prefix)) {
    throw new UsageError(`no matching subnet for range ${ipRange}`);
  }
  return {
    subnet: formatSubnet(subnet),
    gateway: formatAddress(gateway),
    ...(range && { ipRange: formatSubnet(range) }),
  };
}

/** What slirp4netns fixes holds only for networks with a way out. */
function checkSubnet(text: string, internal: boolean): Subnet {
  const subnet = parseSubnet(text);
  if (!subnet) throw new UsageError(`invalid CIDR address: ${text}`);
  if (subnet.version === 6) throw new UsageError(`IPv6 subnets are not supported yet: ${text}`);
  const maximum = internal ? 30 : slirpMaximumPrefix;
  if (subnet.prefix <= maximum && subnet.prefix >= 8) return subnet;
  if (subnet.prefix > 30 || subnet.prefix < 8)
    throw new UsageError(`invalid subnet ${text}: the prefix must be 8 to 30`);
  throw new UsageError(`subnet ${text} is too small: slirp4netns, the way out, takes prefixes to /${maximum}`, {
    hint: "with --internal, which has no way out, it can be /30",
  });
}

function checkGateway(text: string, subnet: Subnet, fixed: Address | undefined): Address {
  const gateway = parseAddress(text);
  if (!gateway) throw new UsageError(`invalid gateway address ${text}`);
  if (!contains(subnet, gateway)) throw new UsageError(`no matching subnet for gateway ${text}`);
  if (!fixed || fixed.value === gateway.value) return gateway;
  throw new UsageError(`gateway ${text} is not possible: slirp4netns, the way out, is always ${formatAddress(fixed)}`, {
    hint: "with --internal, which has no way out, any address can be its name",
  });
}

const mtuOptions = ["mtu", "com.docker.network.driver.mtu"];

function toMtu(options: Record<string, string>): number {
  const name = mtuOptions.find((each) => each in options);
  if (name === undefined) return largestMtuBytes;
  const bytes = Number(options[name]);
  if (Number.isInteger(bytes) && bytes >= 576 && bytes <= largestMtuBytes) return bytes;
  throw new UsageError(`invalid mtu ${options[name]}: it must be 576 to ${largestMtuBytes}`);
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

/** The address for one more: the asked for, or the first that nobody has. Throws with Docker's texts. */
export function takeAddress(network: NetworkRecord, members: Member[], asked?: string): string {
  const taken = new Set([...members.map(({ address }) => address), ...ownAddresses(network)]);
  if (asked !== undefined) {
    const address = parseAddress(asked);
    const isInside = address && contains(parseSubnet(network.subnet)!, address);
    if (!isInside) throw new UsageError(`invalid endpoint settings: no configured subnet contains IP address ${asked}`);
    if (taken.has(formatAddress(address))) throw new ConflictError(`Address already in use: ${asked}`);
    return formatAddress(address);
  }
  const range = parseSubnet(network.ipRange ?? network.subnet)!;
  for (let offset = 0n; offset < sizeOf(range); offset++) {
    const address = formatAddress(nth(range, offset));
    if (!taken.has(address)) return address;
  }
  throw new PodError(`no available IPv4 addresses on this network's address pools: ${network.name} (${network.id})`);
}

/** No member's: the network's own, its first, which people take for a gateway's, the broadcast address, the gateway's and the resolver's. */
function ownAddresses({ subnet: text, gateway, internal }: NetworkRecord): string[] {
  const subnet = parseSubnet(text)!;
  const offsets = [0n, 1n, sizeOf(subnet) - 1n, ...(internal ? [] : [slirpOffsets.dns])];
  return [gateway, ...offsets.map((offset) => formatAddress(nth(subnet, offset)))];
}

export function resolverOf({ subnet }: Pick<NetworkRecord, "subnet">): string {
  return formatAddress(nth(parseSubnet(subnet)!, slirpOffsets.dns));
}

/** As Docker makes it of the address: who gets an address again has the hardware address that others know for it. */
export function hardwareOf(address: string): string {
  const bytes = [2, 0x42, ...addressBytes(parseAddress(address)!)];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
