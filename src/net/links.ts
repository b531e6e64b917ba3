/** Network interfaces, their addresses and routes, in the network namespace that the socket was opened in: rtnetlink(7). */

import { unlessErrno } from "../ns/sys/namespace.ts";
import { type Attribute, encodeAttributes, NLM_F_CREATE, NLM_F_EXCL, parseAttributes } from "./netlink.ts";
import type { Netlink } from "./netlink-socket.ts";
import { type Address, addressBytes, type Subnet, toAddress } from "./subnets.ts";

// <linux/rtnetlink.h>
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTM_NEWRULE = 32;
const RT_TABLE_UNSPEC = 0;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RTN_UNICAST = 1;
const RTN_LOCAL = 2;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_HOST = 254;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_TABLE = 15;

// <linux/fib_rules.h>
const FR_ACT_TO_TBL = 1;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;

const loopbackIndex = 1; // a network namespace begins with it

// <linux/if.h>: what has no carrier at all is unknown
const IF_OPER_UNKNOWN = 0;
const IF_OPER_UP = 6;

// <linux/if_link.h>, <linux/veth.h>, <linux/if_addr.h>
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_F_NODAD = 2; // the address is leased: nobody else has it
const IFF_UP = 1;

const family = (version: 4 | 6): number => (version === 4 ? 2 : 10); // AF_INET, AF_INET6

export interface Link {
  index: number;
  name: string;
  /** The bridge that it is a port of: its index. */
  master?: number;
  /** It is set up and has a carrier, and the kernel's work that follows from that is done: RFC 2863's operational state. */
  isUp: boolean;
}

/** Undefined where there is none of that name. */
export function findLink(netlink: Netlink, name: string): Link | undefined {
  const attributes: Attribute[] = [[IFLA_IFNAME, name]];
  const payload = netlink.get({ type: RTM_GETLINK, body: interfaceInfo({}), attributes }, `find the interface ${name}`);
  if (!payload) return undefined;
  const found = parseAttributes(payload.subarray(16));
  const master = found.get(IFLA_MASTER)?.readUInt32LE(0);
  const isUp = [IF_OPER_UNKNOWN, IF_OPER_UP].includes(found.get(IFLA_OPERSTATE)?.readUInt8(0) ?? IF_OPER_UNKNOWN);
  return { index: payload.readInt32LE(4), name, master, isUp };
}

/** Throws where there is none. */
export function linkIndex(netlink: Netlink, name: string): number {
  const link = findLink(netlink, name);
  if (!link) throw new Error(`no interface ${name}`);
  return link.index;
}

/** A bridge that is up. `address`: six bytes. */
export function makeBridge(
  netlink: Netlink,
  name: string,
  options: { index: number; mtuBytes: number; address: Uint8Array },
): void {
  const attributes: Attribute[] = [
    [IFLA_IFNAME, name],
    [IFLA_MTU, options.mtuBytes],
    [IFLA_ADDRESS, options.address],
    [IFLA_LINKINFO, [[IFLA_INFO_KIND, "bridge"]]],
  ];
  newLink(netlink, `make the bridge ${name}`, attributes, options.index);
}

/**
 * A pair of interfaces: one here, up; its peer in another network namespace, down. `index`
 * must not be what the peer gets there: the kernel would take the pair for one interface, and tell of its carrier up to a
 * second later (dev_get_iflink() in net/core/link_watch.c). Until then nobody is heard by IPv6.
 */
export function makeVeth(
  netlink: Netlink,
  name: string,
  options: { index: number; mtuBytes: number },
  peer: { name: string; namespaceFd: number; address: Uint8Array },
): void {
  const peerAttributes: Attribute[] = [
    [IFLA_IFNAME, peer.name],
    [IFLA_MTU, options.mtuBytes],
    [IFLA_ADDRESS, peer.address],
    [IFLA_NET_NS_FD, peer.namespaceFd],
  ];
  const peerInfo = Buffer.concat([interfaceInfo({}), encodeAttributes(peerAttributes)]);
  const attributes: Attribute[] = [
    [IFLA_IFNAME, name],
    [IFLA_MTU, options.mtuBytes],
    [
      IFLA_LINKINFO,
      [
        [IFLA_INFO_KIND, "veth"],
        [IFLA_INFO_DATA, [[VETH_INFO_PEER, peerInfo]]],
      ],
    ],
  ];
  newLink(netlink, `make the interface ${name}`, attributes, options.index);
}

/** `index`: which it is to have; else one that is free. */
function newLink(netlink: Netlink, what: string, attributes: Attribute[], index = 0): void {
  const body = interfaceInfo({ index, flags: IFF_UP, change: IFF_UP });
  netlink.request({ type: RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL, body, attributes }, what);
}

/** As a port of the bridge `master`, where that is given. */
export function setUp(netlink: Netlink, index: number, port?: { master: number; mtuBytes: number }): void {
  const attributes: Attribute[] = port
    ? [
        [IFLA_MASTER, port.master],
        [IFLA_MTU, port.mtuBytes],
      ]
    : [];
  const body = interfaceInfo({ index, flags: IFF_UP, change: IFF_UP });
  netlink.request({ type: RTM_NEWLINK, body, attributes }, `set interface ${index} up`);
}

export function deleteLink(netlink: Netlink, index: number): void {
  netlink.request({ type: RTM_DELLINK, body: interfaceInfo({ index }) }, `delete interface ${index}`);
}

export function addAddress(netlink: Netlink, index: number, address: Address, prefix: number): void {
  const body = Buffer.from([family(address.version), prefix, IFA_F_NODAD, 0, 0, 0, 0, 0]); // struct ifaddrmsg
  body.writeUInt32LE(index, 4);
  const bytes = addressBytes(address);
  const attributes: Attribute[] = [
    [IFA_LOCAL, bytes],
    [IFA_ADDRESS, bytes],
  ];
  netlink.request({ type: RTM_NEWADDR, flags: NLM_F_CREATE | NLM_F_EXCL, body, attributes }, "add an address");
}

/** The first IPv4 address that is for others, of the interface with the default route where there is one. */
export function mainAddress(netlink: Netlink): Address | undefined {
  const body = Buffer.from([family(4), 0, 0, 0, 0, 0, 0, 0]);
  const addresses = netlink.dump({ type: RTM_GETADDR, body }, "list addresses").flatMap((payload) => {
    const local = parseAttributes(payload.subarray(8)).get(IFA_LOCAL);
    const isForOthers = payload[0] === family(4) && payload[3] === RT_SCOPE_UNIVERSE;
    return local && isForOthers ? [{ index: payload.readUInt32LE(4), address: toAddress(local) }] : [];
  });
  if (addresses.length < 2) return addresses[0]?.address;
  const leading = netlink.dump({ type: RTM_GETROUTE, body: routeInfo(4) }, "list routes").flatMap((payload) => {
    const attributes = parseAttributes(payload.subarray(12));
    return payload[0] === family(4) && !attributes.has(RTA_DST) ? [attributes.get(RTA_OIF)?.readUInt32LE(0)] : [];
  });
  return (addresses.find(({ index }) => leading.includes(index)) ?? addresses[0])?.address;
}

/** The way to everywhere else. One that the container has made itself stays. */
export function addDefaultRoute(netlink: Netlink, index: number, gateway: Address): void {
  const attributes: Attribute[] = [
    [RTA_GATEWAY, addressBytes(gateway)],
    [RTA_OIF, index],
  ];
  const body = routeInfo(gateway.version);
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  unlessErrno(["EEXIST"], () =>
    netlink.request({ type: RTM_NEWROUTE, flags, body, attributes }, "add the default route"),
  );
}

/** Packets with this mark stay here, whatever address they are sent to: ip-rule(8), ip-route(8) `local`. */
export function keepMarked(netlink: Netlink, version: 4 | 6, mark: number): void {
  const table = mark; // its number is free as that of the mark is
  const route: Attribute[] = [
    [RTA_OIF, loopbackIndex],
    [RTA_TABLE, table],
  ];
  const body = routeInfo(version, { table: RT_TABLE_UNSPEC, type: RTN_LOCAL, scope: RT_SCOPE_HOST });
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  netlink.request({ type: RTM_NEWROUTE, flags, body, attributes: route }, "add a route for marked packets");
  const rule: Attribute[] = [
    [FRA_PRIORITY, 1], // right behind that of the local table: before all that the container has of its own
    [FRA_FWMARK, mark],
    [FRA_TABLE, table],
  ];
  const header = Buffer.from([family(version), 0, 0, 0, RT_TABLE_UNSPEC, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0]); // struct fib_rule_hdr
  netlink.request({ type: RTM_NEWRULE, flags, body: header, attributes: rule }, "add a rule for marked packets");
}

/** What the routes lead to, default routes apart. */
export function listRoutes(netlink: Netlink): Subnet[] {
  return netlink.dump({ type: RTM_GETROUTE, body: Buffer.alloc(12) }, "list routes").flatMap((payload) => {
    const isInternet = [family(4), family(6)].includes(payload[0]!);
    const destination = parseAttributes(payload.subarray(12)).get(RTA_DST);
    return isInternet && destination ? [{ ...toAddress(destination), prefix: payload[1]! }] : [];
  });
}

/** struct ifinfomsg. */
function interfaceInfo({ index = 0, flags = 0, change = 0 }): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeInt32LE(index, 4);
  bytes.writeUInt32LE(flags, 8);
  bytes.writeUInt32LE(change, 12);
  return bytes;
}

/** struct rtmsg of a route to everywhere. */
function routeInfo(
  version: 4 | 6,
  { table, type, scope } = { table: RT_TABLE_MAIN, type: RTN_UNICAST, scope: RT_SCOPE_UNIVERSE },
): Buffer {
  return Buffer.from([family(version), 0, 0, 0, table, RTPROT_STATIC, scope, type, 0, 0, 0, 0]);
}
