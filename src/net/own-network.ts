/** The network of a container that shares it with nobody, as `slirp4netns` and `pasta` give one. */

import type { OwnNetworkSettings } from "../storage/containers.ts";
import type { PlugAddress } from "./bridge.ts";
import { pasta } from "./pasta.ts";
import { slirp4netns } from "./slirp4netns.ts";
import { formatAddress, nth, parseSubnet } from "./subnets.ts";
import {
  gateway6,
  gatewayOf,
  largestMtuBytes,
  ownAddress6,
  ownAddressOffset,
  ownSubnet,
  ownSubnet6,
  resolverOf,
  smallestMtuBytes6,
  tapName,
  type WayOutPlan,
} from "./way-out.ts";

/** By the network mode. */
export const ownDrivers = { slirp4netns, pasta };

export interface OwnNetworkPlan extends WayOutPlan {
  /** The container's interface and its addresses. */
  interface: string;
  addresses: [PlugAddress, ...PlugAddress[]];
  resolver: string;
}

/** Complete, from what was asked for. `hasIpv6`: the host's kernel has it. */
export function toOwnNetwork(
  settings: OwnNetworkSettings = {},
  allowHostLoopback: boolean,
  hasIpv6: boolean,
): OwnNetworkPlan {
  const { mtuBytes = largestMtuBytes, outbound, outbound6, subnet: text = ownSubnet } = settings;
  const ipv6 = settings.ipv6 ?? (hasIpv6 && mtuBytes >= smallestMtuBytes6);
  const subnet = parseSubnet(text)!;
  const address = formatAddress(nth(subnet, ownAddressOffset));
  return {
    mtuBytes,
    subnet: text,
    ipv6,
    allowHostLoopback,
    outbound,
    outbound6,
    interface: settings.interface ?? tapName,
    addresses: [
      { address, subnet: text, gateway: gatewayOf(subnet) },
      ...(ipv6 ? [{ address: ownAddress6, subnet: ownSubnet6, gateway: gateway6 }] : []),
    ],
    resolver: resolverOf(subnet),
  };
}
