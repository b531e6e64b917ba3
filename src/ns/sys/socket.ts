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

// <asm-generic/socket.h>, <linux/in.h>, <linux/in6.h>, <linux/tcp.h>, <asm-generic/errno.h>
const IPPROTO_ICMP = 1;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_KEEPALIVE = 9;
const SO_MARK = 36;
const IPPROTO_IP = 0;
const IP_TRANSPARENT = 19;
const IP_BIND_ADDRESS_NO_PORT = 24;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_TRANSPARENT = 75;
const SHUT_WR = 1;
const EAGAIN = 11;
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
    if (protocol === "tcp") {
      setOption(fd, SOL_SOCKET, SO_REUSEADDR);
      setOption(fd, SOL_SOCKET, SO_KEEPALIVE); // this and the next go over to its connections
      setOption(fd, IPPROTO_TCP, TCP_NODELAY);
    }
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

function setOption(fd: number, level: number, option: number, value = 1): void {
  check("setsockopt", c.setsockopt(fd, level, option, new Int32Array([value]), 4));
}

/** Where a socket is: of a connection, what its peer has called. */
export function endpointOf(fd: number): Endpoint {
  check("getsockname", c.getsockname(fd, nameBuffer, new Uint32Array([nameBytes])));
  return fromName();
}

/** accept4(2): a connection, and who calls; undefined where nobody waits. */
export function acceptFrom(fd: number): { fd: number; client: Endpoint } | undefined {
  const connection = c.accept4(fd, nameBuffer, new Uint32Array([nameBytes]), SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (failedWith(connection, EAGAIN)) return undefined;
  return { fd: check("accept", connection), client: fromName() };
}

/** Where a connection is to come from. */
export interface Source extends Endpoint {
  /** Of its packets: socket(7), SO_MARK. */
  mark: number;
}

/**
 * A socket that is connected, or will be: it is writable then, or broken. `source`: its address need not be this host's (ip(7),
 * IP_TRANSPARENT; CAP_NET_ADMIN), and port 0 is one that is free.
 */
export function beginConnect(protocol: Protocol, endpoint: Endpoint, source?: Source): number {
  const fd = newSocket(endpoint.address.length === 4 ? AF_INET : AF_INET6, protocol);
  try {
    if (protocol === "tcp") setOption(fd, IPPROTO_TCP, TCP_NODELAY);
    if (source) bindTo(fd, source);
    const name = toName(endpoint);
    const result = c.connect(fd, name, name.length);
    if (!failedWith(result, EINPROGRESS)) check("connect", result);
    return fd;
  } catch (error) {
    c.close(fd);
    throw error;
  }
}

function bindTo(fd: number, source: Source): void {
  const isV4 = source.address.length === 4;
  if (isV4) setOption(fd, IPPROTO_IP, IP_TRANSPARENT);
  else setOption(fd, IPPROTO_IPV6, IPV6_TRANSPARENT);
  setOption(fd, SOL_SOCKET, SO_MARK, source.mark);
  if (source.port)
    setOption(fd, SOL_SOCKET, SO_REUSEADDR); // a client may use one port for several connections
  else setOption(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT); // connect(2) finds one that is free for this peer
  const name = toName(source);
  check("bind", c.bind(fd, name, name.length));
}

/** The peer reads the end. */
export function endWriting(fd: number): void {
  c.shutdown(fd, SHUT_WR); // where the peer is gone already there is nothing to tell
}

/** One datagram, and whose it is, as the kernel writes it; undefined where there is none, or an error of an earlier one is told: udp(7). */
export function receiveFrom(fd: number, buffer: Uint8Array): { length: number; from: Buffer } | undefined {
  const from = Buffer.alloc(nameBytes);
  const fromLength = new Uint32Array([from.length]);
  const length = c.recvfrom(fd, buffer, buffer.length, 0, from, fromLength);
  return length === -1 ? undefined : { length, from: from.subarray(0, fromLength[0]) };
}

/** A datagram that can't be sent is lost, as datagrams may be. `to`: as receiveFrom() gave it. */
export function sendTo(fd: number, bytes: Uint8Array, to?: Buffer): void {
  c.sendto(fd, bytes, bytes.length, 0, to ?? null, to?.length ?? 0);
}

const nameBytes = 28; // struct sockaddr_in6, the larger one

/** struct sockaddr_in, sockaddr_in6. */
function toName({ address, port }: Endpoint): Buffer {
  const isV4 = address.length === 4;
  const name = Buffer.alloc(isV4 ? 16 : nameBytes);
  name.writeUInt16LE(isV4 ? AF_INET : AF_INET6, 0);
  name.writeUInt16BE(port, 2);
  name.set(address, isV4 ? 4 : 8);
  return name;
}

const nameBuffer = Buffer.alloc(nameBytes); // the kernel's answers

function fromName(): Endpoint {
  const [from, to] = nameBuffer.readUInt16LE(0) === AF_INET ? [4, 8] : [8, 24];
  return { address: Uint8Array.prototype.slice.call(nameBuffer, from, to), port: nameBuffer.readUInt16BE(2) };
}
