/** Forwards from ports of its own, which it prints, to the two that are given: TCP and UDP, on 127.0.0.1. */

import { forwardForEver } from "../../src/net/forward.ts";
import { listenOn, portOf } from "../../src/ns/sys/socket.ts";

const address = Uint8Array.from([127, 0, 0, 1]);
const [tcpTarget, udpTarget] = process.argv.slice(2).map(Number) as [number, number];
const tcp = listenOn("tcp", { address, port: 0 }, "tcp");
const udp = listenOn("udp", { address, port: 0 }, "udp");
console.log(JSON.stringify({ tcp: portOf(tcp), udp: portOf(udp) }));
forwardForEver([
  { protocol: "tcp", listenerFd: tcp, target: { address, port: tcpTarget } },
  { protocol: "udp", listenerFd: udp, target: { address, port: udpTarget } },
]);
