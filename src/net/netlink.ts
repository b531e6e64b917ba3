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
export const NLM_F_APPEND = 0x800;
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
  const bodyEnd = headerBytes + align(body.length);
  const message = Buffer.alloc(bodyEnd + sizeOf(attributes));
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(flags, 6);
  message.writeUInt32LE(sequence, 8); // the port, behind it, is the kernel's: 0
  message.set(body, headerBytes);
  writeAttributes(message, bodyEnd, attributes);
  return message;
}

/** Each begins at a multiple of four bytes. */
export function encodeAttributes(attributes: Attribute[]): Buffer {
  const bytes = Buffer.alloc(sizeOf(attributes));
  writeAttributes(bytes, 0, attributes);
  return bytes;
}

// Sizes first, then all into one buffer: a guard has some hundred attributes, and a Buffer for each takes a millisecond.

function sizeOf(attributes: Attribute[]): number {
  let size = 0;
  for (const [, value] of attributes) size += 4 + align(contentBytes(value));
  return size;
}

function contentBytes(value: Attribute[1]): number {
  if (typeof value === "number") return 4;
  if (typeof value === "string") return Buffer.byteLength(value) + 1;
  return Array.isArray(value) ? sizeOf(value) : value.length;
}

function writeAttributes(bytes: Buffer, start: number, attributes: Attribute[]): void {
  let at = start;
  for (const [type, value] of attributes) {
    const length = contentBytes(value);
    bytes.writeUInt16LE(4 + length, at);
    bytes.writeUInt16LE(Array.isArray(value) ? type | NLA_F_NESTED : type, at + 2);
    if (typeof value === "number") bytes.writeUInt32LE(value, at + 4);
    else if (typeof value === "string") bytes.write(value, at + 4);
    else if (Array.isArray(value)) writeAttributes(bytes, at + 4, value);
    else bytes.set(value, at + 4);
    at += 4 + align(length);
  }
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
/** nf_tables wants its numbers so. */
export function u32be(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function align(length: number): number {
  return (length + 3) & ~3;
}
