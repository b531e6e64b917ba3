/**
 * Whom a container sees at its published ports. The forwarder's sockets in the container's network namespace are bound to
 * the caller's address, and their packets carry a mark. The container's answers carry it too (sysctls of runtimespec.ts:
 * tcp_fwmark_accept, fwmark_reflect), and what carries it stays in the namespace, where the forwarder gets it.
 */

import { unlessErrno } from "../ns/sys/namespace.ts";
import type { Endpoint, Protocol, Source } from "../ns/sys/socket.ts";
import type { SeenAs } from "../storage/containers.ts";
import { keepMarked } from "./links.ts";
import { Netlink } from "./netlink-socket.ts";
import { contains, parseSubnet, type Subnet, toAddress } from "./subnets.ts";

/** Of the packets; nothing that comes from outside carries a mark. */
const mark = 0x706f64; // "pod"

/** Where connections go, and what tells who calls. */
export interface Target {
  /** The container's address. */
  address: Uint8Array;
  /** Who the host is, and everybody that the container can't be told of. */
  gateway: Uint8Array;
  /** The container's networks: who is there is not outside. */
  near: Subnet[];
}

/** Readies the container's network namespace, in which `routeFd`, a netlink socket, is. False where this kernel can't. */
export function readyForClients(routeFd: number, version: 4 | 6): boolean {
  return unlessErrno(["EOPNOTSUPP", "EAFNOSUPPORT"], () => keepMarked(new Netlink(routeFd), version, mark));
}

/** Whom the container sees at a port that is published at `hostAddress`. Answers to datagrams can't be told from others. */
export function seenAs(
  { protocol, hostAddress }: { protocol: Protocol; hostAddress: string },
  seesClients: boolean,
): SeenAs {
  if (protocol === "udp" || !seesClients) return "container";
  return /^127\.|:/.test(hostAddress) ? "gateway" : "client";
}

/** `called`: where the host was reached. It calls itself from the same address. */
export function sourceFor(client: Endpoint, called: Uint8Array, { address, gateway, near }: Target): Source {
  const isSeen = client.address.length === address.length && !Buffer.from(client.address).equals(called);
  const from = isSeen && toAddress(client.address);
  if (from && ![...special, ...near].some((subnet) => contains(subnet, from))) return { ...client, mark };
  return { address: gateway, port: 0, mark };
}

/** Nobody's, or of one host or one link only: RFC 6890. Programs trust what seems to come from 127.0.0.1 (CVE-2021-20199). */
const special = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/96", "fe80::/10", "ff00::/8"].map(
  (text) => parseSubnet(text)!,
);
