/**
 * One network: a network namespace with a bridge, whose ports are the members' interfaces and the tap of its way out. The
 * namespace is made by a copy of a process, which sends its descriptor back, and sockets of its own: with these it is
 * changed from outside, and so are the members' by a socket of theirs.
 */

import { CLONE_NEWNET, O_RDONLY } from "../ns/constants.ts";
import { close, open } from "../ns/sys/file.ts";
import { setns, unshare } from "../ns/sys/namespace.ts";
import { setInterfaceUp } from "../ns/sys/terminal.ts";
import { guardPort, guardTap } from "./guard.ts";
import { addAddress, addDefaultRoute, deleteLink, findLink, linkIndex, makeBridge, makeVeth, setUp } from "./links.ts";
import { NETLINK_NETFILTER, Netlink, openNetlink } from "./netlink-socket.ts";
import { parseAddress, parseSubnet } from "./subnets.ts";
import { tapName } from "./way-out.ts";

const bridgeName = "pod0";
/** Chosen, so that nobody has to ask for it; high, since the kernel gives a new namespace tunnels where it has such modules. */
export const bridgeIndex = 1 << 16;
const bridgeHardware = "02:42:00:00:00:00"; // given, or it would be the lowest of the ports', and change with them

/** A container's interface in a network, and the port that it is connected to. */
export interface Plug {
  /** In the network's namespace. */
  port: string;
  /** In the container. */
  interface: string;
  mac: string;
  mtuBytes: number;
  /** One of IPv4, and perhaps one of IPv6. */
  addresses: PlugAddress[];
  /** Where the way out is not to lead to the host itself: see GuardedPort. */
  resolvers?: string[];
}

export interface PlugAddress {
  address: string;
  /** The network's. */
  subnet: string;
  /** Where everything else is sent; one interface of a container has it. */
  gateway?: string;
}

/** Descriptors of a network: its namespace, and sockets that are in it. */
export interface Segment {
  namespaceFd: number;
  routeFd: number;
  netfilterFd: number;
}

/** A network without members, in a new network namespace that this process is in afterwards: a Segment's descriptors, in order. */
export function makeSegmentHere(mtuBytes: number): number[] {
  unshare(CLONE_NEWNET, "new network namespace");
  setInterfaceUp("lo");
  const route = openNetlink();
  makeBridge(route, bridgeName, { index: bridgeIndex, mtuBytes, address: parseHardware(bridgeHardware) });
  return [open("/proc/self/ns/net", O_RDONLY), route.fd, openNetlink(NETLINK_NETFILTER).fd];
}

/** Sockets in the namespace behind `namespaceFd`, which this process is in afterwards. */
export function openSocketsIn(namespaceFd: number): number[] {
  setns(namespaceFd, CLONE_NEWNET, "a network's namespace");
  return [openNetlink().fd, openNetlink(NETLINK_NETFILTER).fd];
}

export function closeSegment({ namespaceFd, routeFd, netfilterFd }: Segment): void {
  for (const fd of [namespaceFd, routeFd, netfilterFd]) close(fd);
}

/** A container: its network namespace, and a socket that is in it. */
export interface Place {
  namespaceFd: number;
  routeFd: number;
}

/** Connects a container. Its sockets, as the network's, are used by one process at a time. */
export function plugIn(segment: Segment, container: Place, plug: Plug): void {
  const { port, mtuBytes } = plug;
  const hardware = parseHardware(plug.mac);
  const addresses = plug.addresses.map(({ address }) => parseAddress(address)!);
  const resolvers = plug.resolvers?.map((resolver) => parseAddress(resolver)!);
  const network = new Netlink(segment.routeFd);
  const peer = { name: plug.interface, namespaceFd: container.namespaceFd, address: hardware };
  const portIndex = newPortIndex();
  makeVeth(network, port, { index: portIndex, mtuBytes }, peer);
  guardPort(new Netlink(segment.netfilterFd), { name: port, hardware, addresses, resolvers });
  setUp(network, portIndex, { master: bridgeIndex, mtuBytes }); // not before it is guarded
  const inside = new Netlink(container.routeFd);
  const index = linkIndex(inside, plug.interface);
  for (const [at, { subnet }] of plug.addresses.entries()) {
    addAddress(inside, index, addresses[at]!, parseSubnet(subnet)!.prefix);
  }
  setUp(inside, index);
  for (const { gateway } of plug.addresses) if (gateway) addDefaultRoute(inside, index, parseAddress(gateway)!);
  waitUp(network, port);
}

/** Any that nobody else has: those of containers' interfaces and of other ports in use are few. */
function newPortIndex(): number {
  return bridgeIndex + 1 + (crypto.getRandomValues(new Uint32Array(1))[0]! >>> 2);
}

const upPatienceMs = 1000;

/** The kernel tells a bridge some time later that its port has a carrier: the first frame would be lost, and ARP asks again after a second. */
function waitUp(network: Netlink, port: string): void {
  const deadline = performance.now() + upPatienceMs;
  while (!findLink(network, port)?.isUp && performance.now() < deadline) Bun.sleepSync(0.2);
}

/** Both ends go. A port that is not there has gone with its container. */
export function unplug({ routeFd }: Segment, port: string): void {
  const network = new Netlink(routeFd);
  const link = findLink(network, port);
  if (link) deleteLink(network, link.index);
}

const tapPatienceMs = 10_000;

/** Makes the way out's tap a port of the bridge, as soon as it is there. False where it never comes: `hasEnded`, the way out has. */
export function plugInTap(segment: Segment, mtuBytes: number, hasEnded: () => boolean): boolean {
  const network = new Netlink(segment.routeFd);
  const deadline = performance.now() + tapPatienceMs;
  for (;;) {
    const tap = findLink(network, tapName);
    if (tap) {
      if (!tap.master) {
        guardTap(new Netlink(segment.netfilterFd), tapName);
        setUp(network, tap.index, { master: bridgeIndex, mtuBytes });
      }
      waitUp(network, tapName);
      return true;
    }
    if (hasEnded() || performance.now() > deadline) return false;
    Bun.sleepSync(0.5);
  }
}

/** The way out of a container, once another interface's is gone. */
export function setGateway({ routeFd }: Place, interfaceName: string, gateway: string): void {
  const inside = new Netlink(routeFd);
  addDefaultRoute(inside, linkIndex(inside, interfaceName), parseAddress(gateway)!);
}

function parseHardware(text: string): Buffer {
  return Buffer.from(text.replaceAll(":", ""), "hex");
}
