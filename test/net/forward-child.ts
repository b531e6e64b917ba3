/** Forwards from ports of its own, which it prints, to the two that are given: TCP and UDP, on 127.0.0.1. */

import { Forwarder } from "../../src/net/forward.ts";
import { endpointOf, listenOn } from "../../src/ns/sys/socket.ts";

const address = Uint8Array.from([127, 0, 0, 1]);
const [tcpTarget, udpTarget] = process.argv.slice(2).map(Number) as [number, number];
const tcp = listenOn("tcp", { address, port: 0 }, "tcp");
const udp = listenOn("udp", { address, port: 0 }, "udp");
console.log(JSON.stringify({ tcp: endpointOf(tcp).port, udp: endpointOf(udp).port }));
const forwarder = new Forwarder({ address, gateway: address, near: [] }, false);
forwarder.add({ protocol: "tcp", listenerFd: tcp, port: tcpTarget });
forwarder.add({ protocol: "udp", listenerFd: udp, port: udpTarget });
forwarder.runForEver();
