/** Sockets of the Internet: tcp(7), udp(7), ip(7), ipv6(7). All are close-on-exec and do not block. */

import { AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM } from "../constants.ts";
import { c, check, failedWith } from "../libc.ts";

/** Where a socket is, or its peer. */
export interface Endpoint {
  /** 4 or 16, in network byte order. */
  address: Uint8Array;
  port: number;
}

export type Protocol = "tcp" | "udp";

// <asm-generic/socket.h>, <linux/in6.h>, <asm-generic/errno.h>
const IPPROTO_ICMP = 1;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const SHUT_WR = 1;
const EAGAIN = 11;
const ECONNREFUSED = 111;
const EINPROGRESS = 115;

function newSocket(family: number, protocol: Protocol): number {
  const type = protocol === "tcp" ? SOCK_STREAM : SOCK_DGRAM;
  return check("socket", c.socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/** Takes connections, or datagrams. Port 0 is one that is free. `what` names it in an error. */
export function listenOn(protocol: Protocol, endpoint: Endpoint, what: string): number {
  const family = endpoint.address.length === 4 ? AF_INET : AF_INET6;
  const fd = newSocket(family, protocol);
  try {
    if (protocol === "tcp") setOption(fd, SOL_SOCKET, SO_REUSEADDR);
    if (family === AF_INET6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    const name = toName(endpoint);
    check("bind", c.bind(fd, name, name.length), what);
    if (protocol === "tcp") check("listen", c.listen(fd, 1024), what);
    return fd;
  } catch (error) {
    c.close(fd);
    throw error;
  }
}

/** icmp(7): whether this process may send pings without privilege, which net.ipv4.ping_group_range decides. */
export function canPing(): boolean {
  const fd = c.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (fd === -1) return false;
  c.close(fd);
  return true;
}

function setOption(fd: number, level: number, option: number): void {
  check("setsockopt", c.setsockopt(fd, level, option, new Int32Array([1]), 4));
}

/** The port that it got. */
export function portOf(fd: number): number {
  const name = Buffer.alloc(28);
  check("getsockname", c.getsockname(fd, name, new Uint32Array([name.length])));
  return name.readUInt16BE(2);
}

/** A socket that is connected, or will be: it is writable then, and connectError() says how it went. */
export function beginConnect(protocol: Protocol, endpoint: Endpoint): number {
  const fd = newSocket(endpoint.address.length === 4 ? AF_INET : AF_INET6, protocol);
  const name = toName(endpoint);
  const result = c.connect(fd, name, name.length);
  if (result === -1 && !failedWith(result, EINPROGRESS)) {
    try {
      check("connect", result);
    } finally {
      c.close(fd);
    }
  }
  return fd;
}

/** 0 where it is connected. */
export function connectError(fd: number): number {
  const value = new Int32Array(1);
  check("getsockopt", c.getsockopt(fd, SOL_SOCKET, SO_ERROR, value, new Uint32Array([4])));
  return value[0]!;
}

/** The peer reads the end. */
export function endWriting(fd: number): void {
  c.shutdown(fd, SHUT_WR); // where the peer is gone already there is nothing to tell
}

/** One datagram, and whose it is, as the kernel writes it; undefined where there is none. */
export function receiveFrom(fd: number, buffer: Uint8Array): { length: number; from: Buffer } | undefined {
  const from = Buffer.alloc(28);
  const fromLength = new Uint32Array([from.length]);
  const length = c.recvfrom(fd, buffer, buffer.length, 0, from, fromLength);
  if (failedWith(length, EAGAIN, ECONNREFUSED)) return undefined;
  return { length: check("recvfrom", length), from: from.subarray(0, fromLength[0]) };
}

/** A datagram that can't be sent is lost, as datagrams may be. `to`: as receiveFrom() gave it. */
export function sendTo(fd: number, bytes: Uint8Array, to?: Buffer): void {
  c.sendto(fd, bytes, bytes.length, 0, to ?? null, to?.length ?? 0);
}

/** struct sockaddr_in, sockaddr_in6. */
function toName({ address, port }: Endpoint): Buffer {
  const isV4 = address.length === 4;
  const name = Buffer.alloc(isV4 ? 16 : 28);
  name.writeUInt16LE(isV4 ? AF_INET : AF_INET6, 0);
  name.writeUInt16BE(port, 2);
  name.set(address, isV4 ? 4 : 8);
  return name;
}
