/** A running container in a network, in its monitor: the network's namespace and its way out, shared with the other members. */

import { join } from "node:path";
import { inCopy } from "./copies.ts";
import { NotFoundError } from "./errors.ts";
import { rewriteHosts } from "./name-files.ts";
import { makeNetworkHere, type Plug, plugInTap } from "./net/bridge.ts";
import { requireSlirp, type Slirp, startSlirp } from "./net/slirp4netns.ts";
import { hardwareOf, requireNetwork, takeAddress } from "./networks.ts";
import { O_NONBLOCK, O_RDONLY, O_WRONLY, POLLIN } from "./ns/constants.ts";
import { poll } from "./ns/sys/descriptor.ts";
import { close, open } from "./ns/sys/file.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { pidfdOpen, processId, waitPid } from "./ns/sys/process.ts";
import { type ContainerRecord, type Endpoint, identify, isAlive, type ProcessIdentity } from "./storage/containers.ts";
import { recordNetworkEvent } from "./storage/events.ts";
import {
  deleteMember,
  listMembers,
  type Member,
  type NetworkRecord,
  networkDir,
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
  fresh?: Slirp;
}

const endPatienceMs = 2000;

export class Membership {
  #wayOut: WayOut | undefined;

  private constructor(
    readonly network: NetworkRecord,
    private member: Member,
  ) {}

  /** Others find the container from now on; it is connected later, by plugIn() in a copy. Throws PodError. */
  static join(record: ContainerRecord, endpoint: Endpoint, interfaceName: string): Membership {
    const known = requireNetwork(endpoint.network);
    const program = known.internal ? undefined : requireSlirp();
    return withNetworkLock(known.name, () => {
      const network = readNetwork(known.name); // it may have been removed meanwhile
      if (!network) throw new NotFoundError(`network ${known.name} not found`);
      const others = listMembers(network.name);
      const address = takeAddress(network, others, endpoint.address);
      const namespaceFd = openShared(others) ?? inCopy(() => [makeNetworkHere(network.mtuBytes)])()[0]!;
      const membership = new Membership(network, {
        version: 1,
        container: record.id,
        endpointId: randomHex(32),
        names: namesOf(record, endpoint),
        address,
        mac: endpoint.mac ?? hardwareOf(address),
        interface: interfaceName,
        port: `v${randomHex(6)}`, // not of the container's id: an old port goes some time after its container
        monitor: identify(processId()),
        namespaceFd,
      });
      if (program) membership.#takeWayOut(program, others);
      else putMember(network.name, membership.member);
      membership.#tell("connect");
      return membership;
    });
  }

  get networkFd(): number {
    return this.member.namespaceFd;
  }

  get interfaceName(): string {
    return this.member.interface;
  }

  get port(): string {
    return this.member.port;
  }

  /** For plugIn(); with the way out where `isLeading`. */
  plug(isLeading: boolean): Plug {
    const { port, interface: interfaceName, mac, address } = this.member;
    const { subnet, gateway, internal, mtuBytes } = this.network;
    const way = isLeading && !internal ? { gateway } : {};
    return { port, interface: interfaceName, mac, address, subnet, mtuBytes, ...way };
  }

  /** Readable when the way out has ended; undefined where there is none. */
  get pidfd(): number | undefined {
    return this.#wayOut?.pidfd;
  }

  /** Returns when the way out works; in a copy, or while nothing else is to be done. Throws PodError with what slirp4netns said. */
  waitReady(): void {
    this.#wayOut?.fresh?.waitReady();
    if (this.#wayOut) this.#wayOut.fresh = undefined;
  }

  /** Makes the way out's interface a port of the bridge, unless somebody has. In a copy. */
  plugInWayOut(): void {
    const wayOut = this.#wayOut;
    if (wayOut) plugInTap(this.networkFd, this.network.mtuBytes, () => hasEnded(wayOut.pidfd, 0));
  }

  /** slirp4netns was killed: another takes its place, started by the first member that notices. Connections are lost. */
  heal(): void {
    const program = requireSlirp();
    withNetworkLock(this.network.name, () => {
      this.#dropWayOut();
      const others = listMembers(this.network.name).filter(({ container }) => container !== this.member.container);
      this.#takeWayOut(program, others);
    });
    try {
      this.waitReady();
      inCopy(() => {
        this.plugInWayOut();
        return [];
      })();
    } catch (error) {
      this.#dropWayOut();
      throw error;
    }
  }

  #tell(action: "connect" | "disconnect"): void {
    recordNetworkEvent(action, this.network, { container: this.member.container });
  }

  /** The last one waits until nothing is left. */
  leave(): void {
    this.#tell("disconnect");
    const isLast = withNetworkLock(this.network.name, () => {
      deleteMember(this.network.name, this.member.container);
      close(this.networkFd);
      if (this.#wayOut) close(this.#wayOut.exitFd);
      return listMembers(this.network.name).length === 0;
    });
    if (!this.#wayOut) return;
    if (isLast) hasEnded(this.#wayOut.pidfd, endPatienceMs);
    reap(this.#wayOut);
    this.#wayOut = undefined;
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
    const { name, subnet, mtuBytes } = this.network;
    const logFile = join(networkDir(name), "slirp4netns.log");
    const networkFd = this.networkFd;
    const fresh = startSlirp({ program, networkFd, allowHostLoopback: false, subnet, mtuBytes, logFile });
    return { ...identify(fresh.pid), exitFd: fresh.exitFd, pidfd: pidfdOpen(fresh.pid), fresh };
  }

  #dropWayOut(): void {
    if (!this.#wayOut) return;
    close(this.#wayOut.exitFd);
    reap(this.#wayOut);
    this.#wayOut = undefined;
  }
}

/** The descriptor of a live member's monitor, opened anew. */
function openShared(members: Member[]): number | undefined {
  for (const { monitor, namespaceFd } of members) {
    const fd = openOf(monitor, namespaceFd, O_RDONLY);
    if (fd !== undefined) return fd;
  }
  return undefined;
}

function adopt(members: Member[]): WayOut | undefined {
  for (const { monitor, slirp } of members) {
    if (!slirp) continue;
    const exitFd = openOf(monitor, slirp.exitFd, O_WRONLY | O_NONBLOCK); // ENXIO where slirp4netns has ended: fifo(7)
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

/** Undefined where that process has ended: it is compared after opening. */
function openOf(owner: ProcessIdentity, number: number, flags: number): number | undefined {
  let fd: number | undefined;
  unlessErrno(["ENOENT", "ESRCH", "ENXIO"], () => {
    fd = open(`/proc/${owner.pid}/fd/${number}`, flags);
  });
  if (fd === undefined || isAlive(owner)) return fd;
  close(fd);
  return undefined;
}

function namesOf({ id, name, hostname }: ContainerRecord, { aliases }: Endpoint): string[] {
  return [...new Set([hostname, name, id.slice(0, 12), ...aliases])];
}

function randomHex(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
}

function hasEnded(pidfd: number, waitMs: number): boolean {
  return poll([{ fd: pidfd, events: POLLIN }], waitMs)[0] !== 0;
}

/** It may be somebody else's child. */
function reap({ pid, pidfd }: WayOut): void {
  close(pidfd);
  unlessErrno(["ECHILD"], () => waitPid(pid, false));
}

/** Of a container that runs: the others find it by its new name. */
export function renameMember({ id, name, network }: ContainerRecord, newName: string): void {
  const networks = (network.endpoints ?? []).map((endpoint) => endpoint.network);
  for (const each of networks) {
    withNetworkLock(each, () => {
      const member = readMember(each, id);
      if (!member) return;
      const [hostname, ...others] = member.names.filter((known) => known !== name);
      putMember(each, { ...member, names: [...new Set([hostname!, newName, ...others])] });
    });
  }
  if (networks.length) rewriteHosts(networks);
}
