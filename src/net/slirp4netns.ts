/** slirp4netns(1): a network in user space, which gives a network namespace its way out without any privilege. */

import { PodError } from "../errors.ts";
import { O_CREAT, O_TRUNC, O_WRONLY, POLLIN } from "../ns/constants.ts";
import { pipe, poll, readInto } from "../ns/sys/descriptor.ts";
import { close, open, readText } from "../ns/sys/file.ts";
import { spawn } from "../ns/sys/fork.ts";
import { sessionEndSignals } from "../ns/sys/process.ts";

/** Fixed by slirp4netns for its default subnet 10.0.2.0/24. */
export const slirpAddresses = {
  container: "10.0.2.100",
  gateway: "10.0.2.2",
  dns: "10.0.2.3",
  subnet: "10.0.2.0/24",
};

/** Larger than Ethernet's: twice the throughput, since each packet costs slirp4netns the same. */
export const largestMtuBytes = 65520;

export const tapName = "tap0";

/** Of the subnet's addresses these offsets are slirp4netns's own. */
export const slirpOffsets = { gateway: 2n, dns: 3n };
export const slirpMaximumPrefix = 25;

/** It needs some milliseconds. */
const patienceSeconds = 10;

export interface Slirp {
  pid: number;
  /** Returns when the network works. Throws PodError with what slirp4netns said, or that it took too long. */
  waitReady(): void;
  /** slirp4netns ends when this is closed, also by this process's death. */
  exitFd: number;
}

/** Throws PodError where the program is missing: before anything of the container exists. */
export function requireSlirp(): string {
  const path = Bun.which("slirp4netns");
  if (path) return path;
  throw new PodError("slirp4netns is not installed", {
    hint: "install it (Debian, Ubuntu: sudo apt install slirp4netns), or run with --network none or --network host",
  });
}

/** What it is to be for. */
export interface SlirpTarget {
  allowHostLoopback: boolean;
  /** Where the caller is not in the user namespace that owns the network namespace: its descriptor. */
  userFd?: number;
  /** Without it the largest. */
  mtuBytes?: number;
  /** Of a network with a bridge: its tap becomes a port of that, and has no address. Else it is the only interface, set up by slirp4netns. */
  subnet?: string;
}

/** Starts it for the network namespace behind `networkFd`. The caller is in the host's network namespace. `logFile` takes what it says. */
export function startSlirp(options: SlirpTarget & { program: string; networkFd: number; logFile: string }): Slirp {
  const [ready, exit] = [pipe(), pipe()];
  const log = open(options.logFile, O_WRONLY | O_CREAT | O_TRUNC, 0o600);
  const pid = spawn(options.program, slirpArguments(options), {
    env: [],
    fds: [null, log, log, ready.writeFd, exit.readFd, options.networkFd, options.userFd ?? null],
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
      throw slirpFailure(readText(options.logFile));
    },
  };
}

/** Its descriptors 3 to 6 are where it says that it is ready, where it is told to end, and the namespaces. */
export function slirpArguments({
  allowHostLoopback,
  userFd,
  subnet,
  mtuBytes = largestMtuBytes,
}: SlirpTarget): string[] {
  return [
    ...(subnet ? [`--cidr=${subnet}`] : ["--configure"]),
    `--mtu=${mtuBytes}`,
    ...(allowHostLoopback ? [] : ["--disable-host-loopback"]),
    "--enable-sandbox",
    "--enable-seccomp",
    "--ready-fd=3",
    "--exit-fd=4",
    ...(userFd === undefined ? [] : ["--userns-path=/proc/self/fd/6"]),
    "--netns-type=path",
    "/proc/self/fd/5",
    tapName,
  ];
}

function slirpFailure(log: string): PodError {
  const said = log.trim().split("\n").at(-1) || "it ended without a word";
  return new PodError(`slirp4netns: ${said}`, {
    hint: /net\/tun/.test(log)
      ? "/dev/net/tun is missing or closed to you: sudo modprobe tun; or run with --network none or --network host"
      : "run with --network none or --network host",
  });
}
