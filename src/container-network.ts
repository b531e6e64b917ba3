/** A running container's networks, in its monitor: one of its own, or networks that are shared with others. */

import { join } from "node:path";
import { Control } from "./control.ts";
import { inCopy } from "./copies.ts";
import { ConflictError, PodError } from "./errors.ts";
import { hasEnded, kernelHint, Membership, makeSegment } from "./membership.ts";
import {
  followResolvConf,
  hostResolvConf,
  knowsHost,
  rewriteHosts,
  rewriteOwnHosts,
  rewriteResolvConf,
} from "./name-files.ts";
import { closeSegment, type Place, plugIn, plugInTap, type Segment, setGateway } from "./net/bridge.ts";
import { type OwnNetworkPlan, ownDrivers, toOwnNetwork } from "./net/own-network.ts";
import type { WayOutDriver, WayOutProcess } from "./net/way-out.ts";
import { alreadyIn, hardwareOf, hostHasIpv6, subnetsOf } from "./networks.ts";
import { close } from "./ns/sys/file.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { pidfdOpen, pidfdSendSignal, waitPid } from "./ns/sys/process.ts";
import { type ContainerRecord, containerDir, type Endpoint } from "./storage/containers.ts";
import { recordNetworkEvent } from "./storage/events.ts";
import { countMembers } from "./storage/networks.ts";

const SIGKILL = 9;

export interface ContainerNetwork {
  /** Before the container's namespaces are there. Throws PodError where it can't be. */
  prepare(): void;
  /** `fds`: the container's user and network namespace, and a netlink socket in that; they belong to this now. */
  connect(fds: number[]): void;
  /** Throws PodError with what failed. */
  waitReady(): void;
  /** Undefined where it has no network any more. */
  location: Location | undefined;
  /** A netlink socket in the container's network namespace, once it is connected. */
  routeFd: number | undefined;
  /** Readable when a way out has ended. */
  pidfds: number[];
  /** Another one in place of that which has ended. Throws PodError where there can't be one. */
  startAgain(pidfd: number): void;
  /** While the container runs. Throws PodError where it is not possible. */
  join(endpoint: Endpoint): void;
  leave(network: string): void;
  reload(): void;
  /** The host's resolv.conf has changed, from `before`. Throws PodError where the way out is lost by that. */
  followHost(before: string): void;
  /** Another container has its network too, and may outlive this one. */
  share(): void;
  /** What comes back waits until nothing is left of it. */
  release(): () => void;
}

/** Where the container is reached. */
export interface Location {
  address: string;
  gateway: string;
  /** Of all its networks: who is in one of them is not outside. */
  subnets: string[];
}

/** Undefined where there is nothing to do. Throws PodError where a program is missing: before anything of the container exists. */
export function networkOf(record: ContainerRecord): ContainerNetwork | undefined {
  const { mode } = record.network;
  if (mode === "slirp4netns" || mode === "pasta") return new OwnNetwork(record, mode);
  return mode === "bridge" ? new BridgeNetworks(record) : undefined;
}

function serversOf(resolvConf: string): string {
  return resolvConf.match(/^\s*nameserver\s.*$/gm)?.join("\n") ?? "";
}

/** With `--network container:…`: a descriptor of that one's network namespace. Throws ConflictError where it does not run. */
export function networkFdOf(id: string): number {
  const control = Control.open(id);
  control?.tell({ kind: "namespaces", stays: true });
  const fds = control?.receiveDescriptors() ?? [];
  control?.close();
  if (fds.length === 0) throw new ConflictError(`cannot join network of a non running container: ${id}`);
  const [networkFd] = fds.splice(2, 1);
  for (const fd of fds) close(fd);
  return networkFd!;
}

/** A network with a bridge of its own: between the container and the way out stands the same guard as in networks that are shared. */
class OwnNetwork implements ContainerNetwork {
  readonly #plan: OwnNetworkPlan;
  readonly #driver: WayOutDriver;
  readonly #logFile: string;
  #segment: Segment | undefined;
  #wayOut: (WayOutProcess & { pidfd: number }) | undefined;
  routeFd: number | undefined;

  constructor(
    private readonly record: ContainerRecord,
    mode: keyof typeof ownDrivers,
    private readonly program = ownDrivers[mode].require(),
  ) {
    const { own, allowHostLoopback } = record.network;
    this.#plan = toOwnNetwork(own, allowHostLoopback, hostHasIpv6());
    this.#driver = ownDrivers[mode];
    this.#logFile = join(containerDir(record.id), `${mode}.log`);
  }

  prepare(): void {
    this.#segment = makeSegment(this.#plan.mtuBytes);
    this.#start(this.program);
    rewriteResolvConf(this.record, undefined);
    rewriteOwnHosts(this.record);
  }

  connect([userFd, namespaceFd, routeFd]: number[]): void {
    close(userFd!);
    this.routeFd = routeFd!;
    const container = { namespaceFd: namespaceFd!, routeFd: routeFd! };
    const { interface: interfaceName, addresses, mtuBytes, allowHostLoopback } = this.#plan;
    const mac = hardwareOf(addresses[0].address);
    const resolvers = allowHostLoopback ? undefined : this.#driver.resolvers(this.#plan);
    try {
      plugIn(this.#segment!, container, { port: "v0", interface: interfaceName, mac, mtuBytes, addresses, resolvers });
    } catch (cause) {
      throw new PodError("connect the container", { cause, hint: kernelHint });
    } finally {
      close(namespaceFd!);
    }
  }

  waitReady(): void {
    const wayOut = this.#wayOut!;
    wayOut.waitReady();
    const isThere = plugInTap(this.#segment!, this.#plan.mtuBytes, () => hasEnded(wayOut.pidfd, 0));
    if (!isThere) throw this.#driver.failure(this.#logFile);
  }

  get location(): Location {
    const { addresses } = this.#plan;
    const [{ address, gateway }] = addresses;
    return { address, gateway: gateway!, subnets: addresses.map(({ subnet }) => subnet) };
  }

  get pidfds(): number[] {
    return this.#wayOut ? [this.#wayOut.pidfd] : [];
  }

  startAgain(): void {
    this.#end()();
    this.#start(this.#driver.require());
    try {
      this.waitReady();
    } catch (error) {
      this.#end()();
      throw error;
    }
  }

  join(): void {
    throw new PodError(`a container with --network ${this.record.network.mode} can't be connected to networks`);
  }

  leave(): void {
    this.join();
  }

  reload(): void {
    if (!this.#wayOut) this.startAgain();
  }

  followHost(before: string): void {
    followResolvConf(this.record, undefined, before);
    rewriteOwnHosts(this.record);
    if (this.#driver.readsResolversOnce && serversOf(before) !== serversOf(hostResolvConf() ?? before))
      this.startAgain();
  }

  share(): void {}

  release(): () => void {
    const awaitEnd = this.#end();
    if (this.#segment) closeSegment(this.#segment);
    this.#segment = undefined;
    if (this.routeFd !== undefined) close(this.routeFd);
    this.routeFd = undefined;
    return awaitEnd;
  }

  #start(program: string): void {
    const networkFd = this.#segment!.namespaceFd;
    const wayOut = this.#driver.start({ ...this.#plan, program, networkFd, logFile: this.#logFile });
    this.#wayOut = { ...wayOut, pidfd: pidfdOpen(wayOut.pid) };
  }

  /** What comes back waits until nothing is left of it. */
  #end(): () => void {
    const wayOut = this.#wayOut;
    this.#wayOut = undefined;
    if (!wayOut) return () => {};
    if (wayOut.exitFd !== undefined) close(wayOut.exitFd);
    unlessErrno(["ESRCH"], () => pidfdSendSignal(wayOut.pidfd, SIGKILL)); // also one that hangs
    return () => {
      waitPid(wayOut.pid, true);
      close(wayOut.pidfd);
    };
  }
}

class BridgeNetworks implements ContainerNetwork {
  readonly #memberships: Membership[] = [];
  #container: Place | undefined;
  #isShared = false;

  constructor(private readonly record: ContainerRecord) {}

  /** Interfaces have the order in which the networks were given; the first with a way out leads out. */
  prepare(): void {
    for (const [index, endpoint] of (this.record.network.endpoints ?? []).entries()) {
      this.#memberships.push(Membership.join(this.record, endpoint, `eth${index}`));
    }
    rewriteResolvConf(this.record, this.#leading(4)?.network);
  }

  connect([userFd, namespaceFd, routeFd]: number[]): void {
    close(userFd!);
    this.#container = { namespaceFd: namespaceFd!, routeFd: routeFd! };
    for (const membership of this.#memberships) membership.plugIn(this.#container, this.#led(membership));
    tellMembers(this.#names);
  }

  waitReady(): void {
    for (const membership of this.#memberships) membership.waitReady();
  }

  get pidfds(): number[] {
    return this.#memberships.map(({ pidfd }) => pidfd).filter((pidfd) => pidfd !== undefined);
  }

  startAgain(pidfd: number): void {
    this.#memberships.find((membership) => membership.pidfd === pidfd)?.heal();
  }

  join(endpoint: Endpoint): void {
    if (this.#names.includes(endpoint.network)) throw alreadyIn(this.record.name, endpoint.network);
    const used = this.#memberships.map(({ interfaceName }) => interfaceName);
    const free = Array.from({ length: used.length + 1 }, (_, index) => `eth${index}`).find(
      (name) => !used.includes(name),
    );
    const membership = Membership.join(this.record, endpoint, free!);
    this.#memberships.push(membership);
    try {
      membership.waitReady();
      membership.plugIn(this.#container!, this.#led(membership));
    } catch (error) {
      this.#memberships.pop();
      membership.unplug();
      membership.leave()();
      throw error;
    }
    this.#tellNames([endpoint.network]);
    recordNetworkEvent("connect", membership.network, { container: this.record.id });
  }

  leave(network: string): void {
    const membership = this.#memberships.find((each) => each.network.name === network);
    if (!membership) return;
    const led = this.#led(membership);
    this.#memberships.splice(this.#memberships.indexOf(membership), 1);
    membership.unplug();
    for (const version of led) {
      const next = this.#leading(version);
      if (next) setGateway(this.#container!, next.interfaceName, next.gateway(version));
    }
    membership.leave()();
    this.#tellNames([network, ...this.#names]);
    recordNetworkEvent("disconnect", membership.network, { container: this.record.id });
  }

  reload(): void {
    for (const membership of this.#memberships) {
      if (!membership.network.internal && membership.pidfd === undefined) membership.heal();
    }
  }

  followHost(before: string): void {
    followResolvConf(this.record, this.#leading(4)?.network, before);
    if (this.#leading(4) && !knowsHost(this.record)) rewriteHosts(this.#names); // the first to see it does it for all
  }

  share(): void {
    this.#isShared = true;
  }

  #tellNames(networks: string[]): void {
    rewriteResolvConf(this.record, this.#leading(4)?.network);
    tellMembers(networks, this.record.id);
  }

  release(): () => void {
    for (const fd of Object.values(this.#container ?? {})) close(fd);
    this.#container = undefined;
    const names = this.#names;
    const ends = this.#memberships.splice(0).map((membership) => {
      if (this.#isShared) membership.unplug(); // its namespace lives on, but its address is free again
      return membership.leave();
    });
    try {
      if (names.length) rewriteHosts(names);
    } catch {} // the container's end is to be told in any case, and who comes or goes next writes them all
    return () => {
      for (const awaitEnd of ends) awaitEnd();
    };
  }

  get location(): Location | undefined {
    const first = this.#leading(4) ?? this.#memberships[0];
    const subnets = this.#memberships.flatMap(({ network }) => subnetsOf(network)).map(({ subnet }) => subnet);
    return first && { address: first.address, gateway: first.network.gateway, subnets };
  }

  get routeFd(): number | undefined {
    return this.#container?.routeFd;
  }

  #leading(version: 4 | 6): Membership | undefined {
    return this.#memberships.find((membership) => membership.leadsOut(version));
  }

  /** The versions of IP by which it leads out. */
  #led(membership: Membership): (4 | 6)[] {
    return ([4, 6] as const).filter((version) => this.#leading(version) === membership);
  }

  get #names(): string[] {
    return this.#memberships.map(({ network }) => network.name);
  }
}

const fewMembers = 16;

/** rewriteHosts(), where there are many in a copy of this process: it works on some megabytes, which a monitor would keep. */
function tellMembers(networks: string[], former?: string): void {
  const tell = () => rewriteHosts(networks, former);
  if (networks.reduce((sum, name) => sum + countMembers(name), 0) <= fewMembers) return tell();
  inCopy(() => {
    tell();
    return [];
  });
}
