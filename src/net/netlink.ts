/** Netlink messages as bytes: netlink(7), rtnetlink(7), <linux/netlink.h>. Pure: netlink-socket.ts sends them. */

/** A type with its value: bytes as they are, text with its NUL, numbers as u32, and further attributes within it. */
export type Attribute = [type: number, value: Uint8Array | string | number | Attribute[]];

export interface NetlinkMessage {
  type: number;
  flags: number;
  sequence: number;
  /** What follows the header: a struct of the message's type, then attributes. */
  payload: Buffer;
}

export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

const headerBytes = 16;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** `body`: the struct of the message's type. `sequence` comes back in the answer. */
export function encodeMessage(
  { type, flags, sequence }: Omit<NetlinkMessage, "payload">,
  body: Uint8Array,
  attributes: Attribute[] = [],
): Buffer {
  const payload = Buffer.concat([pad(body), encodeAttributes(attributes)]);
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32LE(headerBytes + payload.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(sequence, 8); // the port, behind it, is the kernel's: 0
  return Buffer.concat([header, payload]);
}

/** Each begins at a multiple of four bytes. */
export function encodeAttributes(attributes: Attribute[]): Buffer {
  return Buffer.concat(attributes.map(encodeAttribute));
}

function encodeAttribute([type, value]: Attribute): Buffer {
  const content = encodeValue(value);
  const header = Buffer.alloc(4);
  header.writeUInt16LE(4 + content.length, 0);
  header.writeUInt16LE(Array.isArray(value) ? type | NLA_F_NESTED : type, 2);
  return pad(Buffer.concat([header, content]));
}

function encodeValue(value: Attribute[1]): Uint8Array {
  if (typeof value === "number") return u32(value);
  if (typeof value === "string") return Buffer.from(`${value}\0`);
  return Array.isArray(value) ? encodeAttributes(value) : value;
}

/** The messages of one datagram. */
export function parseMessages(bytes: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + headerBytes <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (length < headerBytes || at + length > bytes.length) throw new Error(`a netlink message of ${length} bytes`);
    messages.push({
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      sequence: bytes.readUInt32LE(at + 8),
      payload: bytes.subarray(at + headerBytes, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** The attributes behind a message's struct, by their type. */
export function parseAttributes(bytes: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) break;
    attributes.set(bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += align(length);
  }
  return attributes;
}

export function u8(value: number): Buffer {
  return Buffer.from([value]);
}
export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
/** nf_tables wants its numbers so. */
export function u32be(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function align(length: number): number {
  return (length + 3) & ~3;
}

function pad(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(align(bytes.length) - bytes.length)]);
}
