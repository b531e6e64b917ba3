/**
 * One network: a network namespace with a bridge, whose ports are the members' interfaces and the tap of slirp4netns. All
 * of this runs in copies of a process, since a monitor never leaves the host's network namespace.
 */

import { PodError } from "../errors.ts";
import { CLONE_NEWNET, O_RDONLY } from "../ns/constants.ts";
import { open } from "../ns/sys/file.ts";
import { setns, unshare } from "../ns/sys/namespace.ts";
import { setInterfaceUp } from "../ns/sys/terminal.ts";
import { guardPort } from "./guard.ts";
import { addAddress, addDefaultRoute, deleteLink, linkIndex, listLinks, makeBridge, makeVeth, setUp } from "./links.ts";
import { Netlink } from "./netlink-socket.ts";
import { tapName } from "./slirp4netns.ts";
import { parseAddress, parseSubnet } from "./subnets.ts";

const bridgeName = "pod0";
const bridgeHardware = "02:42:00:00:00:00"; // given, or it would be the lowest of the ports', and change with them

/** A container's interface in a network, and the port that it is connected to. */
export interface Plug {
  /** In the network's namespace. */
  port: string;
  /** In the container. */
  interface: string;
  mac: string;
  address: string;
  /** The network's. */
  subnet: string;
  mtuBytes: number;
  /** Where everything else is sent; one interface of a container has it. */
  gateway?: string;
}

/** A network without members, in a new network namespace that this process is in afterwards. Returns its descriptor. */
export function makeNetworkHere(mtuBytes: number): number {
  unshare(CLONE_NEWNET, "new network namespace");
  setInterfaceUp("lo");
  withNetlink((netlink) => makeBridge(netlink, bridgeName, { mtuBytes, address: parseHardware(bridgeHardware) }));
  return open("/proc/self/ns/net", O_RDONLY);
}

/** Connects the container whose network namespace is behind `containerFd`. This process is in that afterwards. */
export function plugIn(networkFd: number, containerFd: number, plug: Plug): void {
  const address = parseAddress(plug.address)!;
  const hardware = parseHardware(plug.mac);
  enter(networkFd);
  withNetlink((netlink) => {
    const master = linkIndex(netlink, bridgeName);
    const peer = { name: plug.interface, namespaceFd: containerFd, address: hardware };
    makeVeth(netlink, plug.port, { mtuBytes: plug.mtuBytes, master }, peer);
    guardPort({ name: plug.port, hardware, addresses: [address] }); // before the container's end is up
  });
  enter(containerFd);
  withNetlink((netlink) => {
    const index = linkIndex(netlink, plug.interface);
    addAddress(netlink, index, address, parseSubnet(plug.subnet)!.prefix);
    setUp(netlink, index);
    if (plug.gateway) addDefaultRoute(netlink, index, parseAddress(plug.gateway)!);
  });
}

/** Both ends go. A port that is not there has gone with its container. */
export function unplug(networkFd: number, port: string): void {
  enter(networkFd);
  withNetlink((netlink) => {
    const link = listLinks(netlink).find(({ name }) => name === port);
    if (link) deleteLink(netlink, link.index);
  });
}

const tapPatienceMs = 10_000;

/** Makes slirp4netns's tap a port of the bridge, as soon as it is there. `hasEnded`: slirp4netns has. */
export function plugInTap(networkFd: number, mtuBytes: number, hasEnded: () => boolean): void {
  enter(networkFd);
  withNetlink((netlink) => {
    const deadline = performance.now() + tapPatienceMs;
    for (;;) {
      const links = listLinks(netlink);
      const tap = links.find(({ name }) => name === tapName);
      if (tap?.master) return;
      if (tap) return setUp(netlink, tap.index, { master: linkIndex(netlink, bridgeName), mtuBytes });
      if (hasEnded() || performance.now() > deadline) throw new PodError("slirp4netns makes no interface");
      Bun.sleepSync(0.5);
    }
  });
}

/** The way out of the container behind `containerFd`, once another interface's is gone. */
export function setGateway(containerFd: number, interfaceName: string, gateway: string): void {
  enter(containerFd);
  withNetlink((netlink) => addDefaultRoute(netlink, linkIndex(netlink, interfaceName), parseAddress(gateway)!));
}

function enter(fd: number): void {
  setns(fd, CLONE_NEWNET, "a network namespace");
}

function withNetlink<T>(action: (netlink: Netlink) => T): T {
  const netlink = new Netlink();
  try {
    return action(netlink);
  } finally {
    netlink.close();
  }
}

function parseHardware(text: string): Buffer {
  return Buffer.from(text.replaceAll(":", ""), "hex");
}
