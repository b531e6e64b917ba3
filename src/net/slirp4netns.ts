/** slirp4netns(1): a network in user space, which serves all members of a network with a bridge. */

import { PodError } from "../errors.ts";
import { POLLIN } from "../ns/constants.ts";
import { pipe, poll, readInto } from "../ns/sys/descriptor.ts";
import { close, readText } from "../ns/sys/file.ts";
import { spawn } from "../ns/sys/fork.ts";
import { sessionEndSignals } from "../ns/sys/process.ts";
import { parseSubnet } from "./subnets.ts";
import {
  hintOf,
  openLog,
  requireProgram,
  resolverOf,
  tapName,
  type WayOutDriver,
  type WayOutPlan,
  type WayOutProcess,
  type WayOutRequest,
} from "./way-out.ts";

export const slirpMaximumPrefix = 25;

/** It needs some milliseconds. */
const patienceSeconds = 10;

const resolver6 = "fd00::3"; // fixed, as all that it has of IPv6

export const slirp4netns: WayOutDriver = {
  require: () => requireProgram("slirp4netns", "slirp4netns", "--network none or --network host"),
  start,
  failure: (logFile) => slirpFailure(readText(logFile)),
  commandLine: (plan) => ["slirp4netns", ...toArguments(plan)],
  resolvers: ({ subnet, ipv6 }) => [resolverOf(parseSubnet(subnet)!), ...(ipv6 ? [resolver6] : [])],
  readsResolversOnce: false,
};

function start(request: WayOutRequest): WayOutProcess & { exitFd: number } {
  const [ready, exit] = [pipe(), pipe()];
  const log = openLog(request.logFile);
  const pid = spawn(request.program, toArguments(request), {
    env: [],
    fds: [null, log, log, ready.writeFd, exit.readFd, request.networkFd],
    blockedSignals: sessionEndSignals, // the program is to have its network until it has ended
    ownMounts: true, // its sandbox unmounts all, and what is not on the root's own file system would go here too
  });
  for (const fd of [ready.writeFd, exit.readFd]) close(fd);
  close(log);
  return {
    pid,
    exitFd: exit.writeFd,
    waitReady() {
      const [isDecided] = poll([{ fd: ready.readFd, events: POLLIN }], patienceSeconds * 1000);
      const answer = isDecided && readInto(ready.readFd, new Uint8Array(1)); // "1", or the end where it failed
      close(ready.readFd);
      if (answer) return;
      if (!isDecided) throw slirpFailure(`it was not ready after ${patienceSeconds} seconds`);
      throw slirpFailure(readText(request.logFile));
    },
  };
}

/** Its descriptors 3 to 5 are where it says that it is ready, where it is told to end, and the network's namespace. Its tap has no address. */
function toArguments({ subnet, mtuBytes, ipv6, allowHostLoopback, outbound, outbound6 }: WayOutPlan): string[] {
  return [
    `--cidr=${subnet}`,
    `--mtu=${mtuBytes}`,
    ...(ipv6 ? ["--enable-ipv6"] : []),
    ...(allowHostLoopback ? [] : ["--disable-host-loopback"]),
    ...(outbound ? [`--outbound-addr=${outbound}`] : []),
    ...(outbound6 ? [`--outbound-addr6=${outbound6}`] : []),
    "--enable-sandbox",
    "--enable-seccomp",
    "--ready-fd=3",
    "--exit-fd=4",
    "--netns-type=path",
    "/proc/self/fd/5",
    tapName,
  ];
}

function slirpFailure(log: string): PodError {
  const said = log.trim().split("\n").at(-1) || "it ended without a word";
  return new PodError(`slirp4netns: ${said}`, {
    hint: hintOf(log, "run with --network none or --network host"),
  });
}
