/** A running container's networks, in its monitor: one slirp4netns of its own, or networks with a bridge, shared with others. */

import { join } from "node:path";
import { Control } from "./control.ts";
import { ConflictError, PodError } from "./errors.ts";
import { Membership } from "./membership.ts";
import { rewriteHosts, rewriteResolvConf } from "./name-files.ts";
import { type Place, setGateway } from "./net/bridge.ts";
import { requireSlirp, type Slirp, slirpAddresses, startSlirp } from "./net/slirp4netns.ts";
import { close } from "./ns/sys/file.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { pidfdOpen, pidfdSendSignal, waitPid } from "./ns/sys/process.ts";
import { type ContainerRecord, containerDir, type Endpoint } from "./storage/containers.ts";
import { recordNetworkEvent } from "./storage/events.ts";

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
  /** Another container has its network too, and may outlive this one. */
  share(): void;
  release(): void;
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
  if (mode === "slirp4netns") return new OwnNetwork(record, requireSlirp());
  return mode === "bridge" ? new BridgeNetworks(record) : undefined;
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

class OwnNetwork implements ContainerNetwork {
  readonly location = {
    address: slirpAddresses.container,
    gateway: slirpAddresses.gateway,
    subnets: [slirpAddresses.subnet],
  };
  routeFd: number | undefined;
  #userFd = -1;
  #networkFd = -1;
  #slirp: (Slirp & { pidfd: number }) | undefined;

  constructor(
    private readonly record: ContainerRecord,
    private readonly program: string,
  ) {}

  prepare(): void {}

  connect([userFd, networkFd, routeFd]: number[]): void {
    this.routeFd = routeFd;
    this.#userFd = userFd!; // kept for the next start
    this.#networkFd = networkFd!;
    this.#start(this.program);
  }

  waitReady(): void {
    this.#slirp!.waitReady();
  }

  get pidfds(): number[] {
    return this.#slirp ? [this.#slirp.pidfd] : [];
  }

  startAgain(): void {
    this.release();
    this.#start(requireSlirp());
    try {
      this.waitReady();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  join(): void {
    throw new PodError("a container with a slirp4netns of its own can't be connected to networks");
  }

  leave(): void {
    this.join();
  }

  reload(): void {
    if (!this.#slirp) this.startAgain();
  }

  share(): void {}

  release(): void {
    const slirp = this.#slirp;
    this.#slirp = undefined;
    if (!slirp) return;
    close(slirp.exitFd);
    unlessErrno(["ESRCH"], () => pidfdSendSignal(slirp.pidfd, SIGKILL)); // also one that hangs
    waitPid(slirp.pid, true);
    close(slirp.pidfd);
  }

  #start(program: string): void {
    const slirp = startSlirp({
      program,
      userFd: this.#userFd,
      networkFd: this.#networkFd,
      allowHostLoopback: this.record.network.allowHostLoopback,
      logFile: join(containerDir(this.record.id), "slirp4netns.log"),
    });
    this.#slirp = { ...slirp, pidfd: pidfdOpen(slirp.pid) };
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
    rewriteResolvConf(this.record, this.#leading?.network);
  }

  connect([userFd, namespaceFd, routeFd]: number[]): void {
    close(userFd!);
    this.#container = { namespaceFd: namespaceFd!, routeFd: routeFd! };
    for (const membership of this.#memberships) membership.plugIn(this.#container, membership === this.#leading);
    rewriteHosts(this.#names);
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
    const used = this.#memberships.map(({ interfaceName }) => interfaceName);
    const free = Array.from({ length: used.length + 1 }, (_, index) => `eth${index}`).find(
      (name) => !used.includes(name),
    );
    const isLeading = this.#leading === undefined;
    const membership = Membership.join(this.record, endpoint, free!);
    try {
      membership.waitReady();
      membership.plugIn(this.#container!, isLeading);
    } catch (error) {
      membership.leave();
      throw error;
    }
    this.#memberships.push(membership);
    this.#tellNames([endpoint.network]);
    recordNetworkEvent("connect", membership.network, { container: this.record.id });
  }

  leave(network: string): void {
    const membership = this.#memberships.find((each) => each.network.name === network);
    if (!membership) return;
    const wasLeading = membership === this.#leading;
    this.#memberships.splice(this.#memberships.indexOf(membership), 1);
    const next = wasLeading ? this.#leading : undefined;
    membership.unplug();
    if (next) setGateway(this.#container!, next.interfaceName, next.network.gateway);
    membership.leave();
    this.#tellNames([network, ...this.#names]);
    recordNetworkEvent("disconnect", membership.network, { container: this.record.id });
  }

  reload(): void {
    for (const membership of this.#memberships) {
      if (!membership.network.internal && membership.pidfd === undefined) membership.heal();
    }
  }

  share(): void {
    this.#isShared = true;
  }

  #tellNames(networks: string[]): void {
    rewriteResolvConf(this.record, this.#leading?.network);
    rewriteHosts(networks, this.record.id);
  }

  release(): void {
    for (const fd of Object.values(this.#container ?? {})) close(fd);
    this.#container = undefined;
    const names = this.#names;
    for (const membership of this.#memberships.splice(0)) {
      if (this.#isShared) membership.unplug(); // its namespace lives on, but its address is free again
      membership.leave();
    }
    if (names.length) rewriteHosts(names);
  }

  get location(): Location | undefined {
    const first = this.#leading ?? this.#memberships[0];
    const subnets = this.#memberships.map(({ network }) => network.subnet);
    return first && { address: first.address, gateway: first.network.gateway, subnets };
  }

  get routeFd(): number | undefined {
    return this.#container?.routeFd;
  }

  get #leading(): Membership | undefined {
    return this.#memberships.find(({ network }) => !network.internal);
  }

  get #names(): string[] {
    return this.#memberships.map(({ network }) => network.name);
  }
}
