/** `--network` and its kin as a record: Docker's words, and podman's where they differ. */

import { UsageError } from "./errors.ts";
import { slirpMaximumPrefix } from "./net/slirp4netns.ts";
import { formatAddress, formatSubnet, parseAddress, parseSubnet } from "./net/subnets.ts";
import { largestMtuBytes, smallestMtuBytes, smallestMtuBytes6 } from "./net/way-out.ts";
import type { ContainerNetworking, Endpoint, OwnNetworkSettings } from "./storage/containers.ts";

export interface NetworkingOptions {
  /** `--network`, as given; none is the default network. */
  networks: string[];
  /** For the first network. */
  ip?: string;
  ip6?: string;
  mac?: string;
  aliases: string[];
  dns: string[];
  dnsSearch: string[];
  dnsOptions: string[];
}

const defaultNetwork = "bridge";
const modes = ["none", "host", "slirp4netns", "pasta"];

/** Throws UsageError. */
export function toNetworking(options: NetworkingOptions): ContainerNetworking {
  const mode = toMode(options);
  for (const server of options.dns) checkAddress(server, "IP address");
  for (const domain of options.dnsSearch) {
    if (/\s/.test(domain)) throw new UsageError(`${JSON.stringify(domain)} is not a valid domain`);
  }
  for (const option of options.dnsOptions) {
    if (/\s/.test(option)) throw new UsageError(`invalid DNS option: ${JSON.stringify(option)}`);
  }
  const given = [options.dns, options.dnsSearch, options.dnsOptions].some((values) => values.length);
  const dns = { servers: options.dns, search: options.dnsSearch, options: options.dnsOptions };
  if (given && mode.container) throw new UsageError("conflicting options: dns and the network mode");
  return { ...mode, ...(given && { dns }) };
}

function toMode(options: NetworkingOptions): Omit<ContainerNetworking, "dns"> {
  const networks = options.networks.length ? options.networks : [defaultNetwork];
  const isMode = (text: string) => modes.includes(text.split(":")[0]!) || text.startsWith("container:");
  if (!networks.some(isMode))
    return { mode: "bridge", allowHostLoopback: false, endpoints: toEndpoints(networks, options) };
  if (networks.length > 1) {
    throw new UsageError("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
  }
  if (options.ip || options.ip6 || options.mac || options.aliases.length) {
    throw new UsageError(
      `conflicting options: an address, a MAC address or an alias, and the network mode ${networks[0]}`,
    );
  }
  return parseMode(networks[0]!);
}

/** `none`, `host`, `container:NAME`, `slirp4netns` and `pasta`, these two with options as podman words them. */
function parseMode(text: string): Omit<ContainerNetworking, "dns"> {
  const container = /^container:(.*)$/.exec(text)?.[1];
  if (container === "") throw new UsageError("Invalid network mode: invalid container format container:<name|id>");
  if (container) return { mode: "container", allowHostLoopback: false, container };
  const [, mode, settings = ""] = /^([^:]*)(?::(.*))?$/s.exec(text) ?? [];
  const words = settings.split(",").filter(Boolean);
  if (mode === "slirp4netns") return toOwnMode(mode, parseSlirpOptions(words));
  if (mode === "pasta") return toOwnMode(mode, parsePastaOptions(words));
  if ((mode === "none" || mode === "host") && text === mode) return { mode, allowHostLoopback: false };
  throw new UsageError(`network ${text} is not supported; use a network's name, none, host, slirp4netns or pasta`);
}

type OwnOptions = OwnNetworkSettings & { allowHostLoopback?: boolean };

function toOwnMode(mode: "slirp4netns" | "pasta", options: OwnOptions): Omit<ContainerNetworking, "dns"> {
  const { allowHostLoopback = false, ...own } = options;
  if (own.ipv6 && own.mtuBytes && own.mtuBytes < smallestMtuBytes6)
    throw new UsageError(`invalid mtu ${own.mtuBytes}: with IPv6 it must be at least ${smallestMtuBytes6}`);
  if (own.ipv6 === false && own.outbound6)
    throw new UsageError("conflicting options: an outbound address of IPv6, and no IPv6");
  return { mode, allowHostLoopback, ...(Object.keys(own).length && { own }) };
}

/** podman-run(1), `--network slirp4netns:…`. */
function parseSlirpOptions(words: string[]): OwnOptions {
  const options: OwnOptions = {};
  for (const word of words) {
    const [, key = "", value = ""] = /^([^=]*)=(.*)$/.exec(word) ?? [];
    const isFlag = value === "true" || value === "false";
    if (key === "allow_host_loopback" && isFlag) options.allowHostLoopback = value === "true";
    else if (key === "enable_ipv6" && isFlag) options.ipv6 = value === "true";
    else if (key === "mtu") options.mtuBytes = parseMtu(value);
    else if (key === "cidr") options.subnet = parseCidr(value);
    else if (key === "outbound_addr") options.outbound = checkAddress(value, "outbound_addr, an IPv4 address", 4);
    else if (key === "outbound_addr6") options.outbound6 = checkAddress(value, "outbound_addr6, an IPv6 address", 6);
    else {
      const isHandler = key === "port_handler";
      const hint = isHandler ? "published ports are forwarded by pod itself, with no choice" : undefined;
      throw new UsageError(`unknown option of slirp4netns: ${word}`, { hint });
    }
  }
  return options;
}

const pastaHint = "pod knows --map-gw, --mtu, --ipv4-only, --outbound and --ns-ifname; ports are published by -p";

/** podman-run(1), `--network pasta:…`: pasta's own options, each word one, `--mtu,1500`. Those that pod gives it itself are not for others. */
function parsePastaOptions(words: string[]): OwnOptions {
  const options: OwnOptions = {};
  const rest = words.flatMap((word) =>
    /^--[^=]+=/.test(word) ? [word.replace(/=.*/s, ""), word.replace(/^[^=]*=/, "")] : [word],
  );
  const value = (option: string) => {
    const next = rest.shift();
    if (next === undefined) throw new UsageError(`option of pasta needs a value: ${option}`);
    return next;
  };
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--map-gw") options.allowHostLoopback = true;
    else if (word === "--ipv4-only" || word === "-4") options.ipv6 = false;
    else if (word === "--mtu" || word === "-m") options.mtuBytes = parseMtu(value(word));
    else if (word === "--ns-ifname" || word === "-I") options.interface = checkInterface(value(word));
    else if (word === "--outbound" || word === "-o") {
      const address = checkAddress(value(word), "outbound address");
      options[address.includes(":") ? "outbound6" : "outbound"] = address;
    } else throw new UsageError(`unknown option of pasta: ${word}`, { hint: pastaHint });
  }
  return options;
}

function parseMtu(text: string): number {
  const bytes = /^\d+$/.test(text) ? Number(text) : 0;
  if (bytes >= smallestMtuBytes && bytes <= largestMtuBytes) return bytes;
  throw new UsageError(`invalid mtu ${text}: it must be ${smallestMtuBytes} to ${largestMtuBytes}`);
}

function parseCidr(text: string): string {
  const subnet = parseSubnet(text);
  if (subnet?.version !== 4) throw new UsageError(`invalid CIDR address: ${text}`);
  if (subnet.prefix >= 8 && subnet.prefix <= slirpMaximumPrefix) return formatSubnet(subnet);
  throw new UsageError(`invalid cidr ${text}: the prefix must be 8 to ${slirpMaximumPrefix}`);
}

/** What Linux takes: at most 15 bytes, no slash, no blank (dev_valid_name of net/core/dev.c). */
function checkInterface(name: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$/.test(name) && name !== "lo") return name;
  throw new UsageError(`invalid interface name: ${JSON.stringify(name)}`);
}

function toEndpoints(networks: string[], options: NetworkingOptions): Endpoint[] {
  const [first, ...others] = networks.map(parseEndpoint) as [Endpoint, ...Endpoint[]];
  const endpoints = [
    toEndpoint(first.network, {
      address: options.ip ?? first.address,
      address6: options.ip6 ?? first.address6,
      mac: options.mac ?? first.mac,
      aliases: [...options.aliases, ...first.aliases],
    }),
    ...others,
  ];
  const twice = endpoints.find(
    ({ network }, index) => endpoints.findIndex((other) => other.network === network) < index,
  );
  if (twice) throw new UsageError(`network ${JSON.stringify(twice.network)} is specified multiple times`);
  return endpoints;
}

/** `name`, podman's `name:ip=…,ip6=…,alias=…`, Docker's `name=…,ip=…,ip6=…,alias=…`. */
export function parseEndpoint(text: string): Endpoint {
  const [, short, settings = ""] = /^([^:=,]+)(?::(.*))?$/.exec(text) ?? [];
  const pairs = (short ? settings : text)
    .split(",")
    .filter((setting) => setting || !short)
    .map((setting): [string, string] => {
      const at = setting.indexOf("=");
      if (at < 1) throw new UsageError(`invalid field ${setting}: must be a key=value pair`);
      return [setting.slice(0, at).toLowerCase(), setting.slice(at + 1)];
    });
  const known = ["ip", "ip6", "mac", "mac-address", "alias", ...(short ? [] : ["name"])];
  const unknown = pairs.find(([key]) => !known.includes(key));
  if (unknown) throw new UsageError(`invalid field key ${unknown[0]}`, { hint: hintFor(unknown[0]) });
  const all = (...keys: string[]) => pairs.filter(([key]) => keys.includes(key)).map(([, value]) => value);
  const name = short ?? all("name").at(-1);
  if (!name) throw new UsageError("network name/id is not specified");
  return toEndpoint(name === "default" ? defaultNetwork : name, {
    address: all("ip").at(-1),
    address6: all("ip6").at(-1),
    mac: all("mac", "mac-address").at(-1),
    aliases: all("alias"),
  });
}

function hintFor(key: string): string {
  if (!/^allow[_-]host[_-]loopback$/.test(key)) return "the keys are ip, ip6, mac-address and alias";
  return "all members of a network share its way out, so it belongs to the network: network create -o allow_host_loopback=true NAME; or --network slirp4netns:allow_host_loopback=true";
}

/** Checked. */
export function toEndpoint(network: string, { address, address6, mac, aliases }: Omit<Endpoint, "network">): Endpoint {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(network)) throw new UsageError(`network ${network} not found`);
  if (address !== undefined) checkAddress(address, "IPv4 address", 4);
  const v6 = address6 && formatAddress(parseAddress(checkAddress(address6, "IPv6 address", 6))!);
  if (mac !== undefined && !/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(mac))
    throw new UsageError(`invalid MAC address: ${mac}`);
  const hardware = mac?.toLowerCase().replaceAll("-", ":");
  if (hardware && Number.parseInt(hardware.slice(0, 2), 16) & 1) {
    throw new UsageError(`invalid MAC address: ${mac} is a multicast address`);
  }
  const bad = aliases.find((alias) => !/^[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,252})$/.test(alias));
  if (bad !== undefined) throw new UsageError(`invalid network alias: ${JSON.stringify(bad)}`);
  const asked = { ...(address && { address }), ...(v6 && { address6: v6 }), ...(hardware && { mac: hardware }) };
  return { network, ...asked, aliases: [...new Set(aliases)] };
}

function checkAddress(text: string, what: string, version?: 4 | 6): string {
  const address = parseAddress(text);
  if (!address || (version && address.version !== version)) throw new UsageError(`invalid ${what}: ${text}`);
  return text;
}
