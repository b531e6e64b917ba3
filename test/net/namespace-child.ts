/** Run in a new network namespace (and user namespace): makes a bridge with two guarded members, and prints what came of it. */

import { bridgeIndex } from "../../src/net/bridge.ts";
import { guardPort } from "../../src/net/guard.ts";
import {
  addAddress,
  addDefaultRoute,
  findLink,
  linkIndex,
  listRoutes,
  makeBridge,
  makeVeth,
  setUp,
} from "../../src/net/links.ts";
import { NETLINK_NETFILTER, openNetlink } from "../../src/net/netlink-socket.ts";
import { formatSubnet, parseAddress } from "../../src/net/subnets.ts";
import { CLONE_NEWNET, O_RDONLY } from "../../src/ns/constants.ts";
import { open } from "../../src/ns/sys/file.ts";
import { setns, unshare } from "../../src/ns/sys/namespace.ts";

const hardware = (last: number) => Buffer.from([2, 0x42, 10, 88, 0, last]);
const here = () => open("/proc/thread-self/ns/net", O_RDONLY);
const enter = (fd: number) => setns(fd, CLONE_NEWNET, "a network namespace");
const run = (...command: string[]) => Bun.spawnSync(["busybox", ...command], { stdout: "pipe", stderr: "pipe" });

const bridgeSpace = here();
const spaces = [4, 5].map((last) => {
  unshare(CLONE_NEWNET, "a member's network namespace");
  const space = here();
  enter(bridgeSpace);
  return { last, space };
});

const netlink = openNetlink();
const netfilter = openNetlink(NETLINK_NETFILTER);
// Where the kernel has such modules, a new namespace has tunnels, which have the indexes from 2 on.
makeBridge(netlink, "tunl0", { index: 2, mtuBytes: 1500, address: hardware(2) });
makeBridge(netlink, "pod0", { index: bridgeIndex, mtuBytes: 65520, address: hardware(1) });
const master = linkIndex(netlink, "pod0");
let again = "";
try {
  makeBridge(netlink, "pod0", { index: 9, mtuBytes: 1500, address: hardware(1) });
} catch (error) {
  again = (error as Error).message;
}
for (const { last, space } of spaces) {
  const peer = { name: "eth0", namespaceFd: space, address: hardware(last) };
  makeVeth(netlink, `v${last}`, { mtuBytes: 65520, master }, peer);
  guardPort(netfilter, { name: `v${last}`, hardware: hardware(last), addresses: [parseAddress(`10.88.0.${last}`)!] });
}
const links = ["lo", "pod0", "v4", "v5", "v6"].filter((name) => findLink(netlink, name));
netlink.close();

let routes: string[] = [];
for (const { last, space } of spaces) {
  enter(space);
  const inside = openNetlink();
  const index = linkIndex(inside, "eth0");
  addAddress(inside, index, parseAddress(`10.88.0.${last}`)!, 24);
  setUp(inside, index);
  addDefaultRoute(inside, index, parseAddress("10.88.0.2")!);
  routes = listRoutes(inside).map(formatSubnet);
  inside.close();
}

// in the namespace of 10.88.0.5 now
const ping = (...options: string[]) => run("ping", "-c", "1", "-W", "1", ...options, "10.88.0.4").exitCode === 0;
const reached = ping();
run("ip", "address", "add", "10.88.0.9/24", "dev", "eth0");
const posedAsAddress = ping("-I", "10.88.0.9");
run("ip", "link", "set", "eth0", "address", "02:42:0a:58:00:09");
const posedAsHardware = ping();
console.log(JSON.stringify({ again, links: links.toSorted(), routes, reached, posedAsAddress, posedAsHardware }));
