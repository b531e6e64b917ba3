/** A running container's published ports, in its monitor: sockets of the host's, and the process that forwards from them. */

import { config } from "./config.ts";
import type { ContainerNetwork } from "./container-network.ts";
import { hasCode, PodError } from "./errors.ts";
import { readyForClients, seenAs } from "./net/client-address.ts";
import { addressBytes, parseAddress } from "./net/subnets.ts";
import { POLLIN } from "./ns/constants.ts";
import { receive, send } from "./ns/stage.ts";
import { poll, socketPair } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { spawn } from "./ns/sys/fork.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { kill, pidfdOpen, sessionEndSignals, waitPid } from "./ns/sys/process.ts";
import { endpointOf, listenOn } from "./ns/sys/socket.ts";
import type { PortsOrder, PortsTask } from "./ports-stage.ts";
import { listContainers, type PortBinding, type PublishedPort, passOver } from "./storage/containers.ts";

interface Listener {
  fd: number;
  port: PublishedPort;
  binding: PortBinding;
}

const SIGKILL = 9;
const shortLifeMs = 100;
const patienceMs = 2000;

export class PublishedPorts {
  readonly #listeners: Listener[] = [];
  #forwarder: { pid: number; pidfd: number; channel: number; address: string } | undefined;
  #startedMs = 0;
  #seesClients: boolean | undefined;

  private constructor(
    private readonly network: ContainerNetwork,
    private readonly networkFd: () => number,
  ) {}

  /** Takes the host's ports. Throws PodError with Docker's text where one is taken. */
  static open(bindings: PortBinding[], network: ContainerNetwork, networkFd: () => number): PublishedPorts {
    const ports = new PublishedPorts(network, networkFd);
    ports.#listeners.push(...listenForAll(bindings));
    return ports;
  }

  /** With the ports that were chosen. */
  get published(): PublishedPort[] {
    return this.#listeners.map(({ port }) => ({ ...port, seenAs: seenAs(port, this.#seesClients === true) }));
  }

  /** Readable when the forwarder has ended. */
  get pidfd(): number | undefined {
    return this.#forwarder?.pidfd;
  }

  /** Forwards from now on, to the container's address of now. Where it has none, callers wait. */
  start(): void {
    this.#end();
    const { location, routeFd } = this.network;
    if (!location || routeFd === undefined || this.#listeners.length === 0) return;
    this.#seesClients ??= readyForClients(routeFd, parseAddress(location.address)!.version);
    const [channel, remote] = socketPair("packets");
    const fds = [null, null, null, remote, this.networkFd(), ...this.#listeners.map(({ fd }) => fd)];
    const pid = spawn("/proc/self/exe", [...config.script, "__ports"], {
      env: [],
      fds,
      diesWithParent: true,
      blockedSignals: sessionEndSignals, // the program is to have its ports until it has ended
    });
    close(remote);
    this.#forwarder = { pid, pidfd: pidfdOpen(pid), channel, address: location.address };
    this.#startedMs = performance.now();
    const ports = this.#listeners.map(({ port }) => port);
    tell(channel, { location, seesClients: this.#seesClients, ports } satisfies PortsTask);
  }

  /** It was killed: another takes its place, but not over and over where it can't live. */
  startAgain(): void {
    if (performance.now() - this.#startedMs < shortLifeMs) Bun.sleepSync(shortLifeMs);
    this.start();
  }

  /** The container's networks have changed. */
  follow(): void {
    const { location } = this.network;
    if (!location || location.address !== this.#forwarder?.address) return this.start();
    this.#tell({ kind: "follow", location });
  }

  /** While others go on. Throws PodError with Docker's text where a port is taken: then all is as it was. */
  change(remove: PortBinding[], add: PortBinding[]): void {
    const isMeant = ({ binding }: Listener) => remove.some((each) => Bun.deepEquals(each, binding));
    const removed = this.#listeners.filter(isMeant);
    for (const listener of removed) this.#remove(listener);
    try {
      this.#add(listenForAll(add));
    } catch (error) {
      this.#add(removed.flatMap(({ port, binding }) => listenOnAll(binding, [port.hostAddress], port.hostPort)));
      throw error;
    }
  }

  release(): void {
    this.#end();
    for (const { fd } of this.#listeners.splice(0)) close(fd);
  }

  #remove(listener: Listener): void {
    this.#listeners.splice(this.#listeners.indexOf(listener), 1);
    close(listener.fd);
    this.#tell({ kind: "remove", port: listener.port });
  }

  #add(listeners: Listener[]): void {
    this.#listeners.push(...listeners);
    if (!this.#forwarder) return this.start();
    for (const { fd, port } of listeners) this.#tell({ kind: "add", port }, [fd]);
  }

  /** Returns when it is done, or the forwarder has ended: another one will know. */
  #tell(order: PortsOrder, fds: number[] = []): void {
    const channel = this.#forwarder?.channel;
    if (channel === undefined) return;
    if (tell(channel, order, fds) && poll([{ fd: channel, events: POLLIN }], patienceMs)[0]) receive(channel);
  }

  #end(): void {
    const forwarder = this.#forwarder;
    this.#forwarder = undefined;
    if (!forwarder) return;
    kill(forwarder.pid, SIGKILL); // our own child, not waited for yet: it is no other process
    waitPid(forwarder.pid, true);
    close(forwarder.pidfd);
    close(forwarder.channel);
  }
}

/** False where it has ended. */
function tell(channel: number, message: PortsTask | PortsOrder, fds: number[] = []): boolean {
  return unlessErrno(["EPIPE", "ECONNRESET"], () => send(channel, message, fds));
}

function listenForAll(bindings: PortBinding[]): Listener[] {
  const listeners: Listener[] = [];
  try {
    for (const binding of bindings) listeners.push(...listen(binding));
    return listeners;
  } catch (error) {
    for (const { fd } of listeners) close(fd);
    throw error;
  }
}

const everywhere = ["0.0.0.0", "::"];
const attempts = 20;

/** Without an address on IPv4 and IPv6 alike, with the same port: where the host has no IPv6, on IPv4 alone. */
function listen(binding: PortBinding): Listener[] {
  const { hostPort, hostPortEnd = hostPort } = binding;
  const addresses = binding.hostAddress ? [binding.hostAddress] : everywhere;
  let failure: unknown;
  for (let attempt = 0; attempt < (hostPort ? hostPortEnd - hostPort + 1 : attempts); attempt++) {
    try {
      return listenOnAll(binding, addresses, hostPort ? hostPort + attempt : 0);
    } catch (error) {
      failure = error;
      if (!hasCode(error, "EADDRINUSE")) break;
    }
  }
  throw bindFailure(binding, addresses[0]!, failure);
}

function listenOnAll(binding: PortBinding, addresses: string[], hostPort: number): Listener[] {
  const { port, protocol } = binding;
  const listeners: Listener[] = [];
  let chosen = hostPort;
  try {
    for (const hostAddress of addresses) {
      const address = addressBytes(parseAddress(hostAddress)!);
      try {
        const fd = listenOn(protocol, { address, port: chosen }, `${hostAddress}:${chosen}`);
        chosen = endpointOf(fd).port;
        listeners.push({ fd, port: { port, protocol, hostAddress, hostPort: chosen }, binding });
      } catch (error) {
        if (listeners.length === 0 || !hasCode(error, "EAFNOSUPPORT", "EADDRNOTAVAIL")) throw error;
      }
    }
    return listeners;
  } catch (error) {
    for (const { fd } of listeners) close(fd);
    throw error;
  }
}

function bindFailure({ hostPort, protocol }: PortBinding, address: string, cause: unknown): PodError {
  const name = `Bind for ${address.includes(":") ? `[${address}]` : address}:${hostPort} failed`;
  if (hasCode(cause, "EADDRINUSE"))
    return new PodError(`${name}: port is already allocated`, { hint: ownerOf(hostPort, protocol) });
  if (!hasCode(cause, "EACCES", "EPERM")) return new PodError(name, { cause });
  const hint = `ports below 1024 are the host's root's: sudo sysctl net.ipv4.ip_unprivileged_port_start=${hostPort}, or take a larger one`;
  return new PodError(name, { cause, hint });
}

function ownerOf(hostPort: number, protocol: string): string {
  const owner = listContainers(({ status }) => status === "running", passOver).find(({ state }) =>
    state.ports?.some((port) => port.hostPort === hostPort && port.protocol === protocol),
  );
  return owner ? `container ${owner.record.name} has it` : "a program outside of pod has it";
}
