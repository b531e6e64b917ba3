/** pasta(1): a network in user space for one container, between whose sockets and the host's it only copies, keeping no packets of its own. */

import { PodError } from "../errors.ts";
import { close, readText } from "../ns/sys/file.ts";
import { spawn } from "../ns/sys/fork.ts";
import { sessionEndSignals } from "../ns/sys/process.ts";
import { formatAddress, nth, parseSubnet } from "./subnets.ts";
import {
  gateway6,
  gatewayOf,
  hintOf,
  openLog,
  ownAddress6,
  ownAddressOffset,
  requireProgram,
  resolverOf,
  tapName,
  type WayOutDriver,
  type WayOutPlan,
  type WayOutProcess,
  type WayOutRequest,
} from "./way-out.ts";

export const pasta: WayOutDriver = {
  require: () => requireProgram("pasta", "passt", "--network slirp4netns"),
  start,
  failure: (logFile) => pastaFailure(readText(logFile)),
  commandLine: (plan) => ["pasta", ...toArguments(plan)],
  resolvers: ({ subnet }) => [resolverOf(parseSubnet(subnet)!)],
  readsResolversOnce: true,
};

/** It has no descriptor that ends it, but it is ours alone, and ends with us. In the foreground it is our child, and has sandboxed itself all the same. */
function start(request: WayOutRequest): WayOutProcess {
  const log = openLog(request.logFile);
  const pid = spawn(request.program, toArguments(request), {
    env: [],
    fds: [request.networkFd, log, log],
    blockedSignals: sessionEndSignals, // the program is to have its network until it has ended
    diesWithParent: true,
  });
  close(log);
  return { pid, waitReady: () => {} };
}

/**
 * Its descriptor 0 is the network's namespace: later versions close all from 3 on. It takes no ports and passes on no
 * port of either side's loopback, gives no addresses by DHCP or router advertisements, and leaves its tap as it is.
 */
function toArguments({ subnet: text, mtuBytes, ipv6, allowHostLoopback, outbound, outbound6 }: WayOutPlan): string[] {
  const subnet = parseSubnet(text)!;
  const address = formatAddress(nth(subnet, ownAddressOffset));
  return [
    "--foreground",
    ...["--netns", "/proc/self/fd/0", "--ns-ifname", tapName, "--mtu", String(mtuBytes)],
    ...["--address", address, "--netmask", String(subnet.prefix), "--gateway", gatewayOf(subnet)],
    ...["--dns-forward", resolverOf(subnet)],
    ...(ipv6 ? ["--address", ownAddress6, "--gateway", gateway6] : ["--ipv4-only"]),
    ...[outbound, outbound6].flatMap((source) => (source ? ["--outbound", source] : [])),
    ...(allowHostLoopback ? [] : ["--no-map-gw"]),
    ...["--no-dhcp", "--no-dhcpv6", "--no-ra"],
    ...["-t", "none", "-u", "none", "-T", "none", "-U", "none"],
  ];
}

const noise = /^(Failed to send \d+ bytes to syslog|Don't run as root.*)$/; // it writes to syslog too, which may not be there

function pastaFailure(log: string): PodError {
  const said = log.split("\n").filter((line) => line.trim() && !noise.test(line.trim()));
  return new PodError(`pasta: ${said.at(-1)?.trim() || "it ended without a word"}`, {
    hint: hintOf(log, "pasta needs a default route on the host; run with --network slirp4netns, none or host"),
  });
}
