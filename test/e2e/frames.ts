/** Ethernet frames as a container may make them by hand, with whatever they say: RFC 791, RFC 8200, RFC 9293, RFC 4861. */

import { basename, dirname, join } from "node:path";
import { addressBytes, parseAddress } from "../../src/net/subnets.ts";

const everybody = Buffer.alloc(6, 0xff);
const bytesOf = (address: string) => addressBytes(parseAddress(address)!);

export interface Sender {
  /** `02:42:0a:58:00:04`. */
  mac: string;
  address: string;
}

/** A TCP connection's first segment. */
export function synFrame(from: Sender, to: string, port: number, sourcePort: number): Buffer {
  const segment = Buffer.alloc(20);
  segment.writeUInt16BE(sourcePort, 0);
  segment.writeUInt16BE(port, 2);
  segment.writeUInt32BE(1000, 4);
  segment.set([0x50, 0x02, 0xff, 0xff], 12); // five words of header; SYN
  return ipFrame(from, to, 6, segment, 16);
}

/** A router's advertisement of `prefix`/64, perhaps behind an extension header of destination options. */
export function routerFrame(from: Sender, prefix: string, isHidden: boolean): Buffer {
  const message = Buffer.alloc(48);
  message.set([134, 0, 0, 0, 64, 0, 0x07, 0x08]); // hop limit 64, lifetime 1800 s
  message.set([3, 4, 64, 0xc0, 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff], 16); // on link, addresses may be made of it
  message.set(bytesOf(prefix), 32);
  return ipFrame(from, "ff02::1", 58, message, 2, isHidden);
}

/** Says that `target` is at the sender's hardware address. */
export function neighbourFrame(from: Sender, target: string): Buffer {
  const message = Buffer.concat([
    Buffer.from([136, 0, 0, 0, 0x20, 0, 0, 0]), // override
    bytesOf(target),
    Buffer.from([2, 1]), // target link-layer address
    hardware(from),
  ]);
  return ipFrame(from, "ff02::1", 58, message, 2);
}

/** Asks `target` where it is, and says where the sender is. */
export function solicitationFrame(from: Sender, target: string): Buffer {
  const source = Buffer.concat([Buffer.from([1, 1]), hardware(from)]); // source link-layer address
  return ipFrame(
    from,
    target,
    58,
    Buffer.concat([Buffer.from([135, 0, 0, 0, 0, 0, 0, 0]), bytesOf(target), source]),
    2,
  );
}

function hardware({ mac }: Sender): Buffer {
  return Buffer.from(mac.replaceAll(":", ""), "hex");
}

function ipFrame(from: Sender, to: string, protocol: number, payload: Buffer, checksumAt: number, isHidden = false) {
  const [source, destination] = [bytesOf(from.address), bytesOf(to)];
  const pseudo = Buffer.alloc(8); // RFC 8200, section 8.1; for IPv4 the sum is the same
  pseudo.writeUInt32BE(payload.length, 0);
  pseudo[7] = protocol;
  payload.writeUInt16BE(checksum(Buffer.concat([source, destination, pseudo, payload])), checksumAt);
  const header = source.length === 4 ? header4(protocol, payload.length) : header6(protocol, payload.length, isHidden);
  const addressesAt = source.length === 4 ? 12 : 8;
  header.set(source, addressesAt);
  header.set(destination, addressesAt + source.length);
  if (source.length === 4) header.writeUInt16BE(checksum(header), 10);
  const type = Buffer.from(source.length === 4 ? [0x08, 0x00] : [0x86, 0xdd]);
  return Buffer.concat([everybody, hardware(from), type, header, payload]);
}

function header4(protocol: number, length: number): Buffer {
  const header = Buffer.alloc(20);
  header.set([0x45, 0, 0, 20 + length, 0, 1, 0, 0, 64, protocol]);
  return header;
}

function header6(protocol: number, length: number, isHidden: boolean): Buffer {
  const options = isHidden ? Buffer.from([protocol, 0, 1, 4, 0, 0, 0, 0]) : Buffer.alloc(0); // PadN
  const header = Buffer.alloc(40 + options.length);
  header.set([0x60, 0, 0, 0, 0, length + options.length, isHidden ? 60 : protocol, 255]);
  header.set(options, 40);
  return header;
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** What came for `sourcePort` in answer to a synFrame(): undefined where nothing did. */
export function answerTo(sourcePort: number, frames: Buffer[]): "open" | "closed" | undefined {
  for (const frame of frames) {
    const isV4 = frame.readUInt16BE(12) === 0x0800;
    const segment = frame.subarray(14 + (isV4 ? 20 : 40));
    const protocol = frame[14 + (isV4 ? 9 : 6)];
    if (protocol !== 6 || segment.length < 20 || segment.readUInt16BE(2) !== sourcePort) continue;
    return (segment[13]! & 0x12) === 0x12 ? "open" : "closed";
  }
  return undefined;
}

/** Options of `pod run` with which a container can run frames-child.ts: it has this program, what that needs, and this tree. */
export function withFrames(): string[] {
  const binds = [
    `${dirname(process.execPath)}:/bun`,
    "/usr:/usr",
    "/usr/lib:/lib",
    "/usr/lib64:/lib64",
    `${tree}:/tree`,
  ];
  return binds.flatMap((bind) => ["-v", `${bind}:ro`]);
}

export const bunInside = `/bun/${basename(process.execPath)}`;

const tree = join(import.meta.dir, "../..");

/** The command that sends `frames` by an interface so many times, and listens after each. */
export function sendCommand(interfaceName: string, times: number, listenMs: number, frames: Buffer[]): string[] {
  const program = [bunInside, "/tree/test/e2e/frames-child.ts"];
  return [...program, interfaceName, String(times), String(listenMs), ...frames.map((frame) => frame.toString("hex"))];
}

/** What that printed. */
export function parseFrames(stdout: string): Buffer[] {
  return (JSON.parse(stdout) as string[]).map((frame) => Buffer.from(frame, "hex"));
}
