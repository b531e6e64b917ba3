/** `--network` and its kin as a record: Docker's words, and podman's where they differ. */

import { UsageError } from "./errors.ts";
import { parseAddress } from "./net/subnets.ts";
import type { ContainerNetworking, Endpoint } from "./storage/containers.ts";

export interface NetworkingOptions {
  /** `--network`, as given; none is the default network. */
  networks: string[];
  /** For the first network. */
  ip?: string;
  mac?: string;
  aliases: string[];
  dns: string[];
  dnsSearch: string[];
  dnsOptions: string[];
}

const defaultNetwork = "bridge";
const modes = ["none", "host", "slirp4netns"];

/** Throws UsageError. */
export function toNetworking(options: NetworkingOptions): ContainerNetworking {
  const mode = toMode(options);
  for (const server of options.dns) checkAddress(server, "IP address");
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
  if (options.ip || options.mac || options.aliases.length) {
    throw new UsageError(
      `conflicting options: an address, a MAC address or an alias, and the network mode ${networks[0]}`,
    );
  }
  return parseMode(networks[0]!);
}

/** `none`, `host`, `container:NAME`, `slirp4netns` and `slirp4netns:allow_host_loopback=true`, as podman words it. */
function parseMode(text: string): Omit<ContainerNetworking, "dns"> {
  const container = /^container:(.*)$/.exec(text)?.[1];
  if (container === "") throw new UsageError("Invalid network mode: invalid container format container:<name|id>");
  if (container) return { mode: "container", allowHostLoopback: false, container };
  const [mode, ...settings] = text.split(/[:,]/);
  if (mode === "slirp4netns") {
    const unknown = settings.find((setting) => !/^allow_host_loopback=(true|false)$/.test(setting));
    if (unknown) throw new UsageError(`unknown option of slirp4netns: ${unknown}`);
    return { mode, allowHostLoopback: settings.includes("allow_host_loopback=true") };
  }
  if ((mode === "none" || mode === "host") && settings.length === 0) return { mode, allowHostLoopback: false };
  throw new UsageError(`network ${text} is not supported; use a network's name, none, host or slirp4netns`);
}

function toEndpoints(networks: string[], options: NetworkingOptions): Endpoint[] {
  const [first, ...others] = networks.map(parseEndpoint) as [Endpoint, ...Endpoint[]];
  const endpoints = [
    toEndpoint(first.network, {
      address: options.ip ?? first.address,
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

/** `name`, podman's `name:ip=…,alias=…`, Docker's `name=…,ip=…,alias=…`. */
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
  const known = ["ip", "mac", "mac-address", "alias", ...(short ? [] : ["name"])];
  const unknown = pairs.find(([key]) => !known.includes(key));
  if (unknown) throw new UsageError(`invalid field key ${unknown[0]}`, { hint: hintFor(unknown[0]) });
  const all = (...keys: string[]) => pairs.filter(([key]) => keys.includes(key)).map(([, value]) => value);
  const name = short ?? all("name").at(-1);
  if (!name) throw new UsageError("network name/id is not specified");
  return toEndpoint(name === "default" ? defaultNetwork : name, {
    address: all("ip").at(-1),
    mac: all("mac", "mac-address").at(-1),
    aliases: all("alias"),
  });
}

function hintFor(key: string): string {
  if (!/^allow[_-]host[_-]loopback$/.test(key)) return "the keys are ip, mac-address and alias";
  return "the host's loopback can be reached with --network slirp4netns:allow_host_loopback=true";
}

/** Checked. */
export function toEndpoint(network: string, { address, mac, aliases }: Omit<Endpoint, "network">): Endpoint {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(network)) throw new UsageError(`network ${network} not found`);
  if (address !== undefined) checkAddress(address, "IPv4 address", 4);
  if (mac !== undefined && !/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(mac))
    throw new UsageError(`invalid MAC address: ${mac}`);
  const hardware = mac?.toLowerCase().replaceAll("-", ":");
  if (hardware && Number.parseInt(hardware.slice(0, 2), 16) & 1) {
    throw new UsageError(`invalid MAC address: ${mac} is a multicast address`);
  }
  const bad = aliases.find((alias) => !/^[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,252})$/.test(alias));
  if (bad !== undefined) throw new UsageError(`invalid network alias: ${JSON.stringify(bad)}`);
  return { network, ...(address && { address }), ...(hardware && { mac: hardware }), aliases: [...new Set(aliases)] };
}

function checkAddress(text: string, what: string, version?: 4 | 6): void {
  const address = parseAddress(text);
  if (!address || (version && address.version !== version)) throw new UsageError(`invalid ${what}: ${text}`);
}
