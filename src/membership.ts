/** A running container in a network, in its monitor: the network's namespace and its way out, shared with the other members. */

import { join } from "node:path";
import { inCopy } from "./copies.ts";
import { NotFoundError, PodError } from "./errors.ts";
import { rewriteHosts } from "./name-files.ts";
import {
  closeSegment,
  makeSegmentHere,
  openSocketsIn,
  type Place,
  plugIn,
  plugInTap,
  type Segment,
  unplug,
} from "./net/bridge.ts";
import { slirp4netns } from "./net/slirp4netns.ts";
import type { WayOutPlan, WayOutProcess } from "./net/way-out.ts";
import { hardwareOf, requireNetwork, takeAddresses } from "./networks.ts";
import { O_NONBLOCK, O_RDONLY, O_WRONLY, POLLIN } from "./ns/constants.ts";
import { poll } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { pidfdGetFd, pidfdOpen, pidfdSendSignal, processId, waitPid } from "./ns/sys/process.ts";
import { identify, isAlive, openOfProcess, type ProcessIdentity } from "./storage/container-state.ts";
import type { ContainerRecord, Endpoint } from "./storage/containers.ts";
import {
  deleteMember,
  dropDead,
  listMembers,
  type Member,
  type NetworkRecord,
  networkDir,
  networksWithDead,
  putMember,
  readMember,
  readNetwork,
  withNetworkLock,
} from "./storage/networks.ts";

/** The network's slirp4netns, whoever started it, and what keeps it. */
interface WayOut extends ProcessIdentity {
  exitFd: number;
  pidfd: number;
  /** Where this process has just started it. */
  fresh?: WayOutProcess;
}

const SIGKILL = 9;
const endPatienceMs = 2000;
export const kernelHint = "the kernel needs bridge, veth and nf_tables; without them: --network host or none";

export class Membership {
  #wayOut: WayOut | undefined;

  private constructor(
    readonly network: NetworkRecord,
    private member: Member,
  ) {}

  /** Others find the container from now on; it is connected later, by plugIn(). Throws PodError. */
  static join(record: ContainerRecord, endpoint: Endpoint, interfaceName: string): Membership {
    const known = requireNetwork(endpoint.network);
    const program = known.internal ? undefined : slirp4netns.require();
    return withNetworkLock(known.name, () => {
      const network = readNetwork(known.name); // it may have been removed meanwhile
      if (!network) throw new NotFoundError(`network ${known.name} not found`);
      const others = listMembers(network.name);
      endDead(network.name, others);
      const addresses = takeAddresses(network, others, endpoint);
      const segment = takeSegment(others) ?? makeSegment(network.mtuBytes);
      const membership = new Membership(network, {
        version: 1,
        container: record.id,
        endpointId: randomHex(32),
        names: namesOf(record, endpoint),
        ...addresses,
        mac: endpoint.mac ?? hardwareOf(addresses.address),
        interface: interfaceName,
        port: `v${randomHex(6)}`, // not of the container's id: an old port goes some time after its container
        monitor: identify(processId()),
        ...segment,
      });
      try {
        if (program) membership.#takeWayOut(program, others);
        else putMember(network.name, membership.member);
      } catch (error) {
        closeSegment(segment);
        throw error;
      }
      return membership;
    });
  }

  get address(): string {
    return this.member.address;
  }

  get interfaceName(): string {
    return this.member.interface;
  }

  /** A network of IPv6, or IPv4, with a way out. */
  leadsOut(version: 4 | 6): boolean {
    return !this.network.internal && (version === 4 || this.network.ipv6 !== undefined);
  }

  gateway(version: 4 | 6): string {
    return version === 4 ? this.network.gateway : this.network.ipv6!.gateway;
  }

  /** Connects the container; `leading`: of these versions of IP everything else is sent by this network. */
  plugIn(container: Place, leading: (4 | 6)[]): void {
    const { port, interface: interfaceName, mac, address, address6 } = this.member;
    const { subnet, ipv6, internal, mtuBytes } = this.network;
    const way = (version: 4 | 6) => (leading.includes(version) ? { gateway: this.gateway(version) } : {});
    const addresses = [
      { address, subnet, ...way(4) },
      ...(address6 && ipv6 ? [{ address: address6, subnet: ipv6.subnet, ...way(6) }] : []),
    ];
    const plan = toPlan(this.network);
    const resolvers = internal || plan.allowHostLoopback ? undefined : slirp4netns.resolvers(plan);
    const plug = { port, interface: interfaceName, mac, addresses, mtuBytes, resolvers };
    try {
      this.#locked(() => plugIn(this.member, container, plug));
    } catch (cause) {
      throw new PodError(`connect to network ${this.network.name}`, { cause, hint: kernelHint });
    }
  }

  /** The container's interface goes, while it runs on. */
  unplug(): void {
    this.#locked(() => unplug(this.member, this.member.port));
  }

  #locked<T>(action: () => T): T {
    return withNetworkLock(this.network.name, action); // the network's sockets are shared
  }

  /** Readable when the way out has ended; undefined where there is none. */
  get pidfd(): number | undefined {
    return this.#wayOut?.pidfd;
  }

  /** Returns when the way out works. Throws PodError with what slirp4netns said. */
  waitReady(): void {
    const wayOut = this.#wayOut;
    if (!wayOut) return;
    wayOut.fresh?.waitReady();
    wayOut.fresh = undefined;
    // by who started it, or where that has been killed before, by another
    const isThere = this.#locked(() => plugInTap(this.member, this.network.mtuBytes, () => hasEnded(wayOut.pidfd, 0)));
    if (!isThere) throw slirp4netns.failure(this.#logFile);
  }

  /** slirp4netns was killed: another takes its place, started by the first member that notices. Connections are lost. */
  heal(): void {
    this.#dropWayOut(); // first of all: where there can't be another, nobody is to wait for the old one's end again
    const program = slirp4netns.require();
    this.#locked(() => {
      const others = listMembers(this.network.name).filter(({ container }) => container !== this.member.container);
      this.#takeWayOut(program, others);
    });
    try {
      this.waitReady();
    } catch (error) {
      this.#dropWayOut();
      throw error;
    }
  }

  /** The last one ends the way out. What comes back waits until nothing is left of it, which takes the kernel up to 30 ms. */
  leave(): () => void {
    const isLast = this.#locked(() => {
      deleteMember(this.network.name, this.member.container);
      closeSegment(this.member);
      if (this.#wayOut) close(this.#wayOut.exitFd);
      return listMembers(this.network.name).length === 0;
    });
    const wayOut = this.#wayOut;
    this.#wayOut = undefined;
    if (!wayOut) return () => {};
    if (isLast) kill(wayOut);
    return () => {
      if (isLast) hasEnded(wayOut.pidfd, endPatienceMs);
      reap(wayOut);
    };
  }

  /** Another member's, where it lives, else a new one. The caller holds the lock. */
  #takeWayOut(program: string, others: Member[]): void {
    const wayOut = adopt(others) ?? this.#startWayOut(program);
    this.#wayOut = wayOut;
    const { pid, startTime, bootId, exitFd } = wayOut;
    const { names } = readMember(this.network.name, this.member.container) ?? this.member; // `rename` changes them
    this.member = { ...this.member, names, slirp: { pid, startTime, bootId, exitFd } };
    putMember(this.network.name, this.member);
  }

  #startWayOut(program: string): WayOut {
    const { namespaceFd: networkFd } = this.member;
    const fresh = slirp4netns.start({ ...toPlan(this.network), program, networkFd, logFile: this.#logFile });
    return { ...identify(fresh.pid), exitFd: fresh.exitFd!, pidfd: pidfdOpen(fresh.pid), fresh };
  }

  get #logFile(): string {
    return join(networkDir(this.network.name), "slirp4netns.log");
  }

  #dropWayOut(): void {
    if (!this.#wayOut) return;
    close(this.#wayOut.exitFd);
    if (this.#wayOut.fresh) {
      kill(this.#wayOut); // it has never worked
      hasEnded(this.#wayOut.pidfd, endPatienceMs);
    }
    reap(this.#wayOut);
    this.#wayOut = undefined;
  }
}

function toPlan({ subnet, mtuBytes, ipv6, allowHostLoopback = false }: NetworkRecord): WayOutPlan {
  return { subnet, mtuBytes, ipv6: ipv6 !== undefined, allowHostLoopback };
}

/** The descriptors of a live member's monitor. */
function takeSegment(members: Member[]): Segment | undefined {
  for (const { monitor, ...theirs } of members) {
    const namespaceFd = openOfProcess(monitor, `fd/${theirs.namespaceFd}`, O_RDONLY);
    if (namespaceFd === undefined) continue;
    const sockets = takeSockets(monitor, [theirs.routeFd, theirs.netfilterFd]);
    const [routeFd, netfilterFd] = sockets ?? inCopy(() => openSocketsIn(namespaceFd));
    return { namespaceFd, routeFd: routeFd!, netfilterFd: netfilterFd! };
  }
  return undefined;
}

/** A network that has no members yet. */
export function makeSegment(mtuBytes: number): Segment {
  const [namespaceFd, routeFd, netfilterFd] = inCopy(() => makeSegmentHere(mtuBytes)) as [number, number, number];
  return { namespaceFd, routeFd, netfilterFd };
}

/** Undefined where it has just ended, or where that is forbidden: ptrace(2), access mode checking; seccomp. */
function takeSockets(owner: ProcessIdentity, numbers: number[]): number[] | undefined {
  const taken: number[] = [];
  const isTaken = unlessErrno(["ESRCH", "EBADF", "EPERM", "ENOSYS"], () => {
    const pidfd = pidfdOpen(owner.pid);
    try {
      for (const number of numbers) taken.push(pidfdGetFd(pidfd, number));
    } finally {
      close(pidfd);
    }
  });
  if (isTaken && isAlive(owner)) return taken;
  for (const fd of taken) close(fd);
  return undefined;
}

function adopt(members: Member[]): WayOut | undefined {
  for (const { monitor, slirp } of members) {
    if (!slirp) continue;
    const exitFd = openOfProcess(monitor, `fd/${slirp.exitFd}`, O_WRONLY | O_NONBLOCK); // ENXIO where slirp4netns has ended: fifo(7)
    if (exitFd === undefined) continue;
    let pidfd: number | undefined;
    unlessErrno(["ESRCH"], () => {
      pidfd = pidfdOpen(slirp.pid);
    });
    if (pidfd !== undefined && isAlive(slirp)) return { ...slirp, exitFd, pidfd };
    for (const fd of [exitFd, pidfd]) if (fd !== undefined) close(fd);
  }
  return undefined;
}

function namesOf({ id, name, hostname }: ContainerRecord, { aliases }: Endpoint): string[] {
  return [...new Set([hostname, name, id.slice(0, 12), ...aliases])];
}

function randomHex(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
}

export function hasEnded(pidfd: number, waitMs: number): boolean {
  return poll([{ fd: pidfd, events: POLLIN }], waitMs)[0] !== 0;
}

/** Also one that hangs. */
function kill({ pidfd }: WayOut): void {
  unlessErrno(["ESRCH"], () => pidfdSendSignal(pidfd, SIGKILL));
}

/** It may be somebody else's child. */
function reap({ pid, pidfd }: WayOut): void {
  close(pidfd);
  unlessErrno(["ECHILD"], () => waitPid(pid, false));
}

/** Ends what is left of members whose monitor was killed. Returns the networks that had some. */
export function sweepMembers(): string[] {
  return networksWithDead().filter((name) => withNetworkLock(name, () => endDead(name, listMembers(name))));
}

/**
 * Their ports go too: another container may have the same interface (`--network container:…`), and would go on with an
 * address that is free now. False where there are none. The caller holds the lock.
 */
function endDead(name: string, live: Member[]): boolean {
  const count = dropDead(name, live, (ports) => {
    const segment = ports.length ? takeSegment(live) : undefined; // without a live member it has gone
    if (!segment) return;
    for (const port of ports) unplug(segment, port);
    closeSegment(segment);
  });
  return count > 0;
}

/** Of a container that runs: the others find it by its new name. */
export function renameMember(record: ContainerRecord, newName: string): void {
  const { endpoints = [] } = record.network;
  for (const endpoint of endpoints) {
    withNetworkLock(endpoint.network, () => {
      const member = readMember(endpoint.network, record.id);
      if (!member) return;
      putMember(endpoint.network, { ...member, names: namesOf({ ...record, name: newName }, endpoint) });
    });
  }
  if (endpoints.length) rewriteHosts(endpoints.map(({ network }) => network));
}
