/** A running container's published ports, in its monitor: sockets of the host's, and the process that forwards from them. */

import { hasCode, PodError } from "./errors.ts";
import { forwardForEver } from "./net/forward.ts";
import { addressBytes, parseAddress } from "./net/subnets.ts";
import { CLONE_NEWNET } from "./ns/constants.ts";
import { close } from "./ns/sys/file.ts";
import { closeInherited, fork, setTitle } from "./ns/sys/fork.ts";
import { setns } from "./ns/sys/namespace.ts";
import { kill, parentProcessId, pidfdOpen, processId, setParentDeathSignal, waitPid } from "./ns/sys/process.ts";
import { listenOn, portOf } from "./ns/sys/socket.ts";
import { listContainers, type PortBinding, type PublishedPort, passOver } from "./storage/containers.ts";

interface Listener {
  fd: number;
  port: PublishedPort;
}

const SIGKILL = 9;
const shortLifeMs = 100;

export class PublishedPorts {
  #forwarder: { pid: number; pidfd: number } | undefined;
  #startedMs = 0;

  private constructor(
    private readonly listeners: Listener[],
    private readonly networkFd: () => number,
    private readonly address: () => string | undefined,
  ) {}

  /** Takes the host's ports. Throws PodError with Docker's text where one is taken. */
  static open(bindings: PortBinding[], networkFd: () => number, address: () => string | undefined): PublishedPorts {
    const listeners: Listener[] = [];
    try {
      for (const binding of bindings) listeners.push(...listen(binding));
    } catch (error) {
      for (const { fd } of listeners) close(fd);
      throw error;
    }
    return new PublishedPorts(listeners, networkFd, address);
  }

  /** With the ports that were chosen. */
  get published(): PublishedPort[] {
    return this.listeners.map(({ port }) => port);
  }

  /** Readable when the forwarder has ended. */
  get pidfd(): number | undefined {
    return this.#forwarder?.pidfd;
  }

  /** Forwards from now on, to the container's address of now. Where it has none, callers wait. */
  start(): void {
    this.#end();
    const address = this.address();
    if (address === undefined || this.listeners.length === 0) return;
    const networkFd = this.networkFd();
    const parent = processId();
    const target = addressBytes(parseAddress(address)!);
    const pid = fork(() => {
      setParentDeathSignal(SIGKILL);
      if (parentProcessId() !== parent) return 1; // it ended before the signal was asked for
      closeInherited([networkFd, ...this.listeners.map(({ fd }) => fd)]);
      setTitle("pod ports");
      setns(networkFd, CLONE_NEWNET, "the container's network namespace");
      return forwardForEver(
        this.listeners.map(({ fd, port: { protocol, port } }) => ({
          protocol,
          listenerFd: fd,
          target: { address: target, port },
        })),
      );
    });
    this.#forwarder = { pid, pidfd: pidfdOpen(pid) };
    this.#startedMs = performance.now();
  }

  /** It was killed: another takes its place, but not over and over where it can't live. */
  startAgain(): void {
    if (performance.now() - this.#startedMs < shortLifeMs) Bun.sleepSync(shortLifeMs);
    this.start();
  }

  release(): void {
    this.#end();
    for (const { fd } of this.listeners.splice(0)) close(fd);
  }

  #end(): void {
    const forwarder = this.#forwarder;
    this.#forwarder = undefined;
    if (!forwarder) return;
    kill(forwarder.pid, SIGKILL); // our own child, not waited for yet: it is no other process
    waitPid(forwarder.pid, true);
    close(forwarder.pidfd);
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

function listenOnAll({ port, protocol }: PortBinding, addresses: string[], hostPort: number): Listener[] {
  const listeners: Listener[] = [];
  let chosen = hostPort;
  try {
    for (const hostAddress of addresses) {
      const address = addressBytes(parseAddress(hostAddress)!);
      try {
        const fd = listenOn(protocol, { address, port: chosen }, `${hostAddress}:${chosen}`);
        chosen = portOf(fd);
        listeners.push({ fd, port: { port, protocol, hostAddress, hostPort: chosen } });
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
