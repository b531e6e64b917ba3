/**
 * Frames as a program with CAP_NET_RAW may send them, packet(7), on the interface whose index comes first: `INDEX send HEX…`
 * sends these; `INDEX watch SECONDS` prints those that come, one line of hexadecimal digits each.
 */

import { c, check } from "../../src/ns/libc.ts";
import { poll, socket } from "../../src/ns/sys/descriptor.ts";

// <linux/if_packet.h>, <linux/if_ether.h>
const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETH_P_ALL = 0x0300; // in network byte order
const POLLIN = 1;

const [index, action, ...words] = process.argv.slice(2);
const fd = socket(AF_PACKET, SOCK_RAW, ETH_P_ALL);
const name = Buffer.alloc(20); // struct sockaddr_ll
name.writeUInt16LE(AF_PACKET, 0);
name.writeUInt16LE(ETH_P_ALL, 2);
name.writeInt32LE(Number(index), 4);
check("bind", c.bind(fd, name, name.length));
if (action === "send") {
  for (const word of words) {
    const frame = Buffer.from(word, "hex");
    check("sendto", c.sendto(fd, frame, frame.length, 0, name, name.length), word);
  }
} else {
  console.log("watching");
  const buffer = Buffer.alloc(65536);
  const end = performance.now() + Number(words[0]) * 1000;
  while (poll([{ fd, events: POLLIN }], Math.max(0, end - performance.now()))[0]) {
    const length = check("recvfrom", c.recvfrom(fd, buffer, buffer.length, 0, Buffer.alloc(20), new Uint32Array([20])));
    console.log(buffer.subarray(0, length).toString("hex"));
  }
}
