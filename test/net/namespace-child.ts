/** Run in a new network namespace (and user namespace): makes a network with two members, and prints what came of it. */

import { bridgeIndex, plugIn, unplug } from "../../src/net/bridge.ts";
import { findLink, listRoutes, makeBridge } from "../../src/net/links.ts";
import { NETLINK_NETFILTER, openNetlink } from "../../src/net/netlink-socket.ts";
import { formatSubnet } from "../../src/net/subnets.ts";
import { CLONE_NEWNET, O_RDONLY } from "../../src/ns/constants.ts";
import { open } from "../../src/ns/sys/file.ts";
import { setns, unshare } from "../../src/ns/sys/namespace.ts";

const hardware = (last: number) => Buffer.from([2, 0x42, 10, 88, 0, last]);
const here = () => open("/proc/thread-self/ns/net", O_RDONLY);
const enter = (fd: number) => setns(fd, CLONE_NEWNET, "a network namespace");
const run = (...command: string[]) => Bun.spawnSync(["busybox", ...command], { stdout: "pipe", stderr: "pipe" });

const netlink = openNetlink();
const netfilter = openNetlink(NETLINK_NETFILTER);
const segment = { namespaceFd: here(), routeFd: netlink.fd, netfilterFd: netfilter.fd };
// Where the kernel has such modules, a new namespace has tunnels, which have the indexes from 2 on.
makeBridge(netlink, "tunl0", { index: 2, mtuBytes: 1500, address: hardware(2) });
makeBridge(netlink, "pod0", { index: bridgeIndex, mtuBytes: 65520, address: hardware(1) });
let again = "";
try {
  makeBridge(netlink, "pod0", { index: 9, mtuBytes: 1500, address: hardware(1) });
} catch (error) {
  again = (error as Error).message;
}

/** A member with the address 10.88.0.`last`, in a network namespace of its own. */
function join(port: string, last: number) {
  unshare(CLONE_NEWNET, "a member's network namespace");
  const place = { namespaceFd: here(), routeFd: openNetlink().fd };
  enter(segment.namespaceFd);
  const mac = `02:42:0a:58:00:0${last}`;
  const addresses = [{ address: `10.88.0.${last}`, subnet: "10.88.0.0/24", gateway: "10.88.0.2" }];
  plugIn(segment, place, { port, interface: "eth0", mac, mtuBytes: 65520, addresses });
  return place;
}

/** How many chains or rules there are, <linux/netfilter/nf_tables.h>. */
function countGuards(message: number): number {
  const [NFNL_SUBSYS_NFTABLES, NFPROTO_NETDEV] = [10, 5];
  const body = Buffer.from([NFPROTO_NETDEV, 0, 0, 0]);
  return netfilter.dump({ type: (NFNL_SUBSYS_NFTABLES << 8) | message, body }, "list guards").length;
}
const [NFT_MSG_GETCHAIN, NFT_MSG_GETRULE] = [4, 7];

join("v4", 4);
join("former", 5);
unplug(segment, "former");
const { namespaceFd } = join("v5", 5);
const [chains, rules] = [countGuards(NFT_MSG_GETCHAIN), countGuards(NFT_MSG_GETRULE)];
const links = ["former", "lo", "pod0", "v4", "v5", "v6"].filter((name) => findLink(netlink, name));
const areUp = ["v4", "v5"].map((name) => findLink(netlink, name)?.isUp);

enter(namespaceFd);
const routes = listRoutes(openNetlink()).map(formatSubnet);
const ping = (...options: string[]) => run("ping", "-c", "1", "-W", "1", ...options, "10.88.0.4").exitCode === 0;
const reached = ping();
run("ip", "address", "add", "10.88.0.9/24", "dev", "eth0");
const posedAsAddress = ping("-I", "10.88.0.9");
run("ip", "link", "set", "eth0", "address", "02:42:0a:58:00:09");
const posedAsHardware = ping();
console.log(JSON.stringify({ again, chains, rules, links, areUp, routes, reached, posedAsAddress, posedAsHardware }));
