/**
 * Run in a container: sends frames, given as hexadecimal digits, by the interface, and prints those that come in, in JSON.
 * Usage: INTERFACE TIMES LISTEN_MS FRAME…
 */

import { readFileSync } from "node:fs";
import { c, check } from "../../src/ns/libc.ts";
import { readInto, socket, writeAll } from "../../src/ns/sys/descriptor.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const everyProtocol = 0x0300; // ETH_P_ALL, in network byte order

const [interfaceName, times, listenMs, ...frames] = process.argv.slice(2) as [string, string, string, ...string[]];
const fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, everyProtocol);
const name = new Uint8Array(20); // struct sockaddr_ll: packet(7)
const view = new DataView(name.buffer);
view.setUint16(0, AF_PACKET, true);
view.setUint16(2, everyProtocol, true);
view.setInt32(4, Number(readFileSync(`/sys/class/net/${interfaceName}/ifindex`, "utf8")), true);
check("bind", c.bind(fd, name, name.length), interfaceName);

const buffer = new Uint8Array(1 << 17);
const received: string[] = [];
for (let time = 0; time < Number(times); time++) {
  for (const frame of frames) writeAll(fd, Buffer.from(frame, "hex"));
  for (const deadline = performance.now() + Number(listenMs); performance.now() < deadline; Bun.sleepSync(5)) {
    for (let length = readInto(fd, buffer); length !== undefined; length = readInto(fd, buffer)) {
      received.push(Buffer.from(buffer.subarray(0, length)).toString("hex"));
    }
  }
}
console.log(JSON.stringify(received));
