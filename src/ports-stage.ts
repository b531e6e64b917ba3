/** The process that forwards published ports: started by a container's monitor, in whose words it goes on. */

import type { Location } from "./container-network.ts";
import type { Target } from "./net/client-address.ts";
import { Forwarder } from "./net/forward.ts";
import { addressBytes, parseAddress, parseSubnet } from "./net/subnets.ts";
import { CLONE_NEWNET } from "./ns/constants.ts";
import { receive, send } from "./ns/stage.ts";
import { close } from "./ns/sys/file.ts";
import { setTitle } from "./ns/sys/fork.ts";
import { setns } from "./ns/sys/namespace.ts";
import type { PublishedPort } from "./storage/containers.ts";

/** Its descriptors besides the standard ones; listening sockets come behind them, in the order of `PortsTask.ports`. */
export const portsStageFds = { channel: 3, network: 4, listeners: 5 };

/** The first message. */
export interface PortsTask {
  location: Location;
  /** The container's network namespace is ready for it: net/client-address.ts. */
  seesClients: boolean;
  ports: PublishedPort[];
}

/** Later ones; each is answered when it is done. */
export type PortsOrder =
  | { kind: "follow"; location: Location }
  /** With the listening socket. */
  | { kind: "add"; port: PublishedPort }
  | { kind: "remove"; port: PublishedPort };

/** main.ts takes `__ports` here. Never returns. */
export function runPortsStage(): never {
  setTitle("pod ports");
  Bun.unsafe.setJITPolicy?.(1); // it may have much to do: the compiled program's is for short ones
  const { channel, network, listeners } = portsStageFds;
  const { location, seesClients, ports } = receive<PortsTask>(channel)!.message;
  setns(network, CLONE_NEWNET, "the container's network namespace");
  close(network);
  const forwarder = new Forwarder(toTarget(location), seesClients);
  const fds = new Map<string, number>();
  const add = (listenerFd: number, port: PublishedPort) => {
    fds.set(keyOf(port), listenerFd);
    forwarder.add({ protocol: port.protocol, listenerFd, port: port.port });
  };
  ports.forEach((port, index) => {
    add(listeners + index, port);
  });
  forwarder.watch(channel, () => {
    const {
      message: order,
      fds: [fd],
    } = receive<PortsOrder>(channel)!; // where the monitor is gone this process is too
    if (order.kind === "follow") forwarder.target = toTarget(order.location);
    if (order.kind === "add") add(fd!, order.port);
    if (order.kind === "remove") forwarder.remove(fds.get(keyOf(order.port))!);
    send(channel, {});
  });
  return forwarder.runForEver();
}

function keyOf({ protocol, hostAddress, hostPort }: PublishedPort): string {
  return `${protocol} ${hostAddress} ${hostPort}`;
}

function toTarget({ address, gateway, subnets }: Location): Target {
  const bytes = (text: string) => addressBytes(parseAddress(text)!);
  return { address: bytes(address), gateway: bytes(gateway), near: subnets.map((text) => parseSubnet(text)!) };
}
