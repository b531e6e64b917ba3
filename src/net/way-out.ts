/** A network's way out: a program on the host's side that carries what comes to an interface in the network, without any privilege. */

import { PodError } from "../errors.ts";
import { O_CREAT, O_TRUNC, O_WRONLY } from "../ns/constants.ts";
import { open } from "../ns/sys/file.ts";
import { formatAddress, nth, type Subnet } from "./subnets.ts";

/** The interface that it makes in the network's namespace, and that becomes a port of the bridge there. */
export const tapName = "tap0";

/** Larger than Ethernet's: twice the throughput, since each packet costs the same. */
export const largestMtuBytes = 65520;

export const smallestMtuBytes = 576; // RFC 791
export const smallestMtuBytes6 = 1280; // RFC 8200, section 5

/** Its own addresses in a subnet, as slirp4netns(1) fixes them. */
export const gatewayOffset = 2n;
export const resolverOffset = 3n;

/** In every IPv6 subnet: who has the prefix fe80::/64 has this router. */
export const gateway6 = "fe80::2";

/** A network of a container's own, as slirp4netns(1) has it unless told otherwise. */
export const ownSubnet = "10.0.2.0/24";
export const ownAddressOffset = 100n;
export const ownSubnet6 = "fd00::/64";
export const ownAddress6 = "fd00::100";

export function gatewayOf(subnet: Subnet): string {
  return formatAddress(nth(subnet, gatewayOffset));
}

export function resolverOf(subnet: Subnet): string {
  return formatAddress(nth(subnet, resolverOffset));
}

/** What it is to be. */
export interface WayOutPlan {
  mtuBytes: number;
  /** Of IPv4. */
  subnet: string;
  ipv6: boolean;
  /** The gateway's address leads to the host's loopback. */
  allowHostLoopback: boolean;
  /** The host's addresses that it speaks from; else those that the host's routes ask for. */
  outbound?: string;
  outbound6?: string;
}

/** `networkFd`: the network's namespace; the caller is in the host's. `logFile` takes what the program says. */
export interface WayOutRequest extends WayOutPlan {
  program: string;
  networkFd: number;
  logFile: string;
}

export interface WayOutProcess {
  pid: number;
  /** It ends when nobody has this open any more; without it, when its parent ends. */
  exitFd?: number;
  /** Returns when it works, or when its interface's coming tells that. Throws PodError with what it said. */
  waitReady(): void;
}

/** A program that can be one. */
export interface WayOutDriver {
  /** Its path. Throws PodError where it is missing: before anything of the container exists. */
  require(): string;
  start(request: WayOutRequest): WayOutProcess;
  /** Why it has ended. */
  failure(logFile: string): Error;
  /** How `run --explain` shows it. */
  commandLine(plan: WayOutPlan): string[];
  /** Addresses that it replaces by those of the host's resolvers. */
  resolvers(plan: WayOutPlan): string[];
  /** It does not see when the host gets others. */
  readsResolversOnce: boolean;
}

/** Its path. Throws PodError: `packageName` is Debian's that has it, `instead` what works without. */
export function requireProgram(name: string, packageName: string, instead: string): string {
  const path = Bun.which(name);
  if (path) return path;
  throw new PodError(`${name} is not installed`, {
    hint: `install it (Debian, Ubuntu: sudo apt install ${packageName}), or run with ${instead}`,
  });
}

/** By what the program said; `usual`: where that tells nothing. */
export function hintOf(log: string, usual: string): string {
  if (!/net\/tun/.test(log)) return usual;
  return "/dev/net/tun is missing or closed to you: sudo modprobe tun; or run with --network none or --network host";
}

export function openLog(path: string): number {
  return open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600);
}
