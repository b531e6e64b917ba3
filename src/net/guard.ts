/**
 * What a member of a network may send: frames from its own hardware and IP addresses, and nothing that says otherwise, so
 * that it can't pose as another member; and nothing that the way out would take to the host's loopback. A chain of
 * nf_tables on its port of the bridge, made over netlink (<linux/netfilter/nf_tables.h>). It goes with the port before
 * Linux 6.14, and else with the next member of that address.
 */

import {
  type Attribute,
  encodeMessage,
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_REQUEST,
  u16,
  u32be,
} from "./netlink.ts";
import type { Netlink } from "./netlink-socket.ts";
import { type Address, addressBytes, formatAddress } from "./subnets.ts";

/** A port of the bridge, and whose it is. */
export interface GuardedPort {
  name: string;
  /** Six bytes. */
  hardware: Uint8Array;
  /** One at least. The first names the chain: nobody else has it while the port is there. */
  addresses: Address[];
  /** Where a way out must not lead to the host itself: its resolvers' addresses, which are asked for names alone. */
  resolvers?: Address[];
}

/** `netfilter`: of the namespace in which the port is. Throws SyscallError where the kernel has no nf_tables. */
export function guardPort(netfilter: Netlink, port: GuardedPort): void {
  netfilter.transaction((first) => guardMessages(port, first), `guard the port ${port.name}`);
}

/** No router's advertisements come in by this port: addresses and routes here are given by hand, and others would lead nowhere. */
export function guardTap(netfilter: Netlink, name: string): void {
  const rules = [[...icmp6(134), verdict(NF_DROP)]];
  netfilter.transaction(
    (first) => chainMessages({ name, port: name, policy: NF_ACCEPT }, rules, first),
    `guard the port ${name}`,
  );
}

const tableName = "pod";

/** The batch that guardPort() sends. */
export function guardMessages(port: GuardedPort, firstSequence: number): Buffer[] {
  const name = formatAddress(port.addresses[0]!);
  return chainMessages({ name, port: port.name, policy: NF_DROP }, toRules(port), firstSequence);
}

/** A chain for what comes in by a port. `policy`: what becomes of what no rule decides. */
function chainMessages(
  { name, port, policy }: { name: string; port: string; policy: number },
  expressions: Expression[][],
  firstSequence: number,
): Buffer[] {
  let sequence = firstSequence;
  const next = (type: number, family: number, resource: number, flags: number, attributes: Attribute[] = []) =>
    encodeMessage({ type, flags: NLM_F_REQUEST | flags, sequence: sequence++ }, header(family, resource), attributes);
  const change = (type: number, attributes: Attribute[], flags = 0) =>
    next((NFNL_SUBSYS_NFTABLES << 8) | type, NFPROTO_NETDEV, 0, NLM_F_CREATE | flags, attributes);
  const chain: Attribute[] = [
    [NFTA_CHAIN_TABLE, tableName],
    [NFTA_CHAIN_NAME, name],
  ];
  const rules = expressions.map((rule): Attribute[] => [
    [NFTA_RULE_TABLE, tableName],
    [NFTA_RULE_CHAIN, name],
    [NFTA_RULE_EXPRESSIONS, rule.map((expression): Attribute => [NFTA_LIST_ELEM, expression])],
  ]);
  const last = rules.length - 1;
  return [
    next(NFNL_MSG_BATCH_BEGIN, 0, NFNL_SUBSYS_NFTABLES, 0),
    change(NFT_MSG_NEWTABLE, [[NFTA_TABLE_NAME, tableName]]),
    change(NFT_MSG_NEWCHAIN, chain), // or there may be none to delete
    change(NFT_MSG_DELCHAIN, chain),
    change(NFT_MSG_NEWCHAIN, [...chain, ...toHook(port, policy)]),
    // without NLM_F_APPEND each would come before the last one
    ...rules.map((rule, at) => change(NFT_MSG_NEWRULE, rule, NLM_F_APPEND | (at === last ? NLM_F_ACK : 0))),
    next(NFNL_MSG_BATCH_END, 0, NFNL_SUBSYS_NFTABLES, 0),
  ];
}

/** What makes it a base chain, of this device. */
function toHook(port: string, policy: number): Attribute[] {
  const hook: Attribute[] = [
    [NFTA_HOOK_HOOKNUM, u32be(NF_NETDEV_INGRESS)],
    [NFTA_HOOK_PRIORITY, u32be(0)],
    [NFTA_HOOK_DEV, port],
  ];
  return [
    [NFTA_CHAIN_HOOK, hook],
    [NFTA_CHAIN_POLICY, u32be(policy)],
    [NFTA_CHAIN_TYPE, "filter"],
  ];
}

type Expression = Attribute[];

/** What none of them lets through is dropped. Offsets: IEEE 802.3, RFC 826, RFC 791, RFC 8200, RFC 4861. */
function toRules({ hardware, addresses, resolvers }: GuardedPort): Expression[][] {
  const own = compare(LINK, 6, hardware, NFT_CMP_NEQ);
  const of = (wanted: Address[], version: 4 | 6) => wanted.filter((each) => each.version === version).map(addressBytes);
  const [v4, v6] = [of(addresses, 4), of(addresses, 6)];
  return [
    [...own, verdict(NF_DROP)],
    ...v4.map((address) => [
      ...etherType(0x0806), // ARP, whose sender it is
      ...compare(NETWORK, 8, hardware),
      ...compare(NETWORK, 14, address),
      verdict(NF_ACCEPT),
    ]),
    ...(resolvers ? hostRules4(v4, of(resolvers, 4)) : []),
    ...v4.map((address) => [...etherType(0x0800), ...compare(NETWORK, 12, address), verdict(NF_ACCEPT)]),
    // in a network of IPv4 there is nobody to talk to
    ...(v6.length
      ? [...(resolvers ? hostRules6(of(resolvers, 6)) : []), ...v6Rules([...v6, linkLocal(hardware)])]
      : []),
  ];
}

/**
 * slirp4netns and pasta connect to what a packet says, also where a container has made one that no kernel would send: to the
 * host's loopback under any of its names. And old ones (libslirp 4.4) replace the resolver's address by that of the host's for
 * any port, which may be loopback's too.
 */
function hostRules4(addresses: Buffer[], resolvers: Buffer[]): Expression[][] {
  const to = (bytes: Uint8Array) => [...etherType(0x0800), ...compare(NETWORK, 16, bytes)];
  return [
    ...[127, 0].map((first) => [...to(Buffer.from([first])), verdict(NF_DROP)]),
    ...resolvers.flatMap((resolver) => [
      ...addresses.map((address) => [
        ...etherType(0x0800),
        ...compare(NETWORK, 12, Buffer.concat([address, resolver])),
        ...compare(TRANSPORT, 2, dnsPort), // of TCP and UDP alike
        verdict(NF_ACCEPT),
      ]),
      [...to(resolver), verdict(NF_DROP)],
    ]),
  ];
}

const dnsPort = Buffer.from([0, 53]);

/** `::`, `::1` and `::ffff:127.0.0.1` lie in the first /64. The resolver is that of IPv4. */
function hostRules6(resolvers: Buffer[]): Expression[][] {
  return [Buffer.alloc(8), ...resolvers].map((bytes) => [
    ...etherType(0x86dd),
    ...compare(NETWORK, 24, bytes),
    verdict(NF_DROP),
  ]);
}

function v6Rules(addresses: Buffer[]): Expression[][] {
  return [
    ...[133, 134, 137].map((type) => [...icmp6(type), verdict(NF_DROP)]), // routers' messages: nobody here is one
    ...addresses.map((address) => [...icmp6(136), ...compare(TRANSPORT, 8, address), verdict(NF_ACCEPT)]), // neighbour advertisements
    [...icmp6(136), verdict(NF_DROP)],
    [...etherType(0x86dd), ...upperLayer(NFT_CMP_EQ, IPPROTO_AH), verdict(NF_DROP)], // what is behind it nobody looks at
    ...addresses.map((address) => [
      ...etherType(0x86dd),
      ...upperLayer(NFT_CMP_NEQ, IPPROTO_RAW), // any, but one that was found behind all extension headers
      ...compare(NETWORK, 8, address),
      verdict(NF_ACCEPT),
    ]),
    // before an address is known to be free
    [
      ...etherType(0x86dd),
      ...upperLayer(NFT_CMP_EQ, IPPROTO_ICMPV6),
      ...compare(NETWORK, 8, Buffer.alloc(16)),
      verdict(NF_ACCEPT),
    ],
  ];
}

/** fe80::/64 with the modified EUI-64 of the hardware address: RFC 4291, appendix A. */
function linkLocal(hardware: Uint8Array): Buffer {
  const [a, b, c, d, e, f] = hardware as unknown as [number, number, number, number, number, number];
  return Buffer.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
}

const LINK = 0;
const NETWORK = 1;
const TRANSPORT = 2;

function etherType(type: number): Expression[] {
  return compare(LINK, 12, u16(((type & 0xff) << 8) | (type >> 8)));
}

function icmp6(type: number): Expression[] {
  return [
    ...etherType(0x86dd),
    ...upperLayer(NFT_CMP_EQ, IPPROTO_ICMPV6),
    ...compare(TRANSPORT, 0, Buffer.from([type])),
  ];
}

/** Behind extension headers, however many: RFC 7113 tells of guards that look at the first header alone. */
function upperLayer(operation: number, protocol: number): Expression[] {
  return [
    expression("meta", [
      [NFTA_META_DREG, u32be(NFT_REG_1)],
      [NFTA_META_KEY, u32be(NFT_META_L4PROTO)],
    ]),
    compareRegister(operation, Buffer.from([protocol])),
  ];
}

/** The rule goes on where the bytes at `offset` of this header are (or are not) these. */
function compare(base: number, offset: number, bytes: Uint8Array, operation = NFT_CMP_EQ): Expression[] {
  return [
    expression("payload", [
      [NFTA_PAYLOAD_DREG, u32be(NFT_REG_1)],
      [NFTA_PAYLOAD_BASE, u32be(base)],
      [NFTA_PAYLOAD_OFFSET, u32be(offset)],
      [NFTA_PAYLOAD_LEN, u32be(bytes.length)],
    ]),
    compareRegister(operation, bytes),
  ];
}

function compareRegister(operation: number, bytes: Uint8Array): Expression {
  return expression("cmp", [
    [NFTA_CMP_SREG, u32be(NFT_REG_1)],
    [NFTA_CMP_OP, u32be(operation)],
    [NFTA_CMP_DATA, [[NFTA_DATA_VALUE, bytes]]],
  ]);
}

function verdict(code: number): Expression {
  return expression("immediate", [
    [NFTA_IMMEDIATE_DREG, u32be(NFT_REG_VERDICT)],
    [NFTA_IMMEDIATE_DATA, [[NFTA_DATA_VERDICT, [[NFTA_VERDICT_CODE, u32be(code)]]]]],
  ]);
}

function expression(name: string, data: Attribute[]): Expression {
  return [
    [NFTA_EXPR_NAME, name],
    [NFTA_EXPR_DATA, data],
  ];
}

/** struct nfgenmsg: the resource is big-endian. */
function header(family: number, resource: number): Buffer {
  return Buffer.from([family, 0, resource >> 8, resource & 0xff]);
}

// <linux/in.h>, <linux/in6.h>
const IPPROTO_AH = 51;
const IPPROTO_ICMPV6 = 58;
const IPPROTO_RAW = 255;
// <linux/netfilter.h>, <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>
const NFPROTO_NETDEV = 5;
const NF_NETDEV_INGRESS = 0;
const NF_DROP = 0;
const NF_ACCEPT = 1;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWTABLE = 0;
const NFT_MSG_NEWCHAIN = 3;
const NFT_MSG_DELCHAIN = 5;
const NFT_MSG_NEWRULE = 6;
const NFTA_TABLE_NAME = 1;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_CHAIN_TYPE = 7;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NFTA_HOOK_DEV = 3;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_PAYLOAD_DREG = 1;
const NFTA_PAYLOAD_BASE = 2;
const NFTA_PAYLOAD_OFFSET = 3;
const NFTA_PAYLOAD_LEN = 4;
const NFTA_META_DREG = 1;
const NFTA_META_KEY = 2;
const NFT_META_L4PROTO = 16;
const NFTA_CMP_SREG = 1;
const NFTA_CMP_OP = 2;
const NFTA_CMP_DATA = 3;
const NFTA_IMMEDIATE_DREG = 1;
const NFTA_IMMEDIATE_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFT_REG_VERDICT = 0;
const NFT_REG_1 = 1;
const NFT_CMP_EQ = 0;
const NFT_CMP_NEQ = 1;
