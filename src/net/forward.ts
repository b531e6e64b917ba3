/**
 * Published ports: connections and datagrams that arrive at listening sockets go on to a container's address. The
 * sockets belong to the host's network namespace, where they were made; the process that forwards is in the container's.
 */

import { EPOLLET, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../ns/constants.ts";
import { growPipe, pipe, splice } from "../ns/sys/descriptor.ts";
import { Epoll } from "../ns/sys/epoll.ts";
import { close } from "../ns/sys/file.ts";
import { getRlimit } from "../ns/sys/process.ts";
import {
  acceptFrom,
  beginConnect,
  type Endpoint,
  endpointOf,
  endWriting,
  type Protocol,
  receiveFrom,
  sendTo,
} from "../ns/sys/socket.ts";
import { sourceFor, type Target } from "./client-address.ts";

/** A socket, and the container's port to which what it gets goes. */
export interface Forward {
  protocol: Protocol;
  listenerFd: number;
  port: number;
}

type Pipe = ReturnType<typeof pipe>;

/** One direction of a connection. */
interface Flow {
  from: number;
  to: number;
  /** With what was read and could not be written yet: most connections wait, and need none. */
  pipe?: Pipe;
  restBytes: number;
  hasEnded: boolean;
}

interface Connection {
  listenerFd: number;
  client: number;
  server: number;
  isConnected: boolean;
  flows: [Flow, Flow];
}

/** Of one client at one listener. */
interface Conversation {
  fd: number;
  listenerFd: number;
  client: Buffer;
  lastMs: number;
}

const pipeBytes = 1 << 18; // a user has 64 MiB in pipes, /proc/sys/fs/pipe-user-pages-soft
const sparePipes = 16;
const movesPerTurn = 8;
const datagramBytes = 1 << 16;
const connectionsPerCollection = 1024;
const idleMs = 90_000; // of datagrams: a conversation without any is over
const largestConversations = 1024; // of all ports: for one more the one that was silent the longest ends
const RLIMIT_NOFILE = 7;
const datagramsPerTurn = 64;
const idleCheckMs = 1000;
const fullPauseMs = 10;

export class Forwarder {
  readonly #epoll = new Epoll();
  readonly #actions = new Map<number, () => void>();
  readonly #connections = new Set<Connection>();
  /** Those that have something to move. */
  readonly #busy = new Set<Connection>();
  readonly #pipes: Pipe[] = [];
  readonly #conversations = new Map<string, Conversation>();
  readonly #conversationsLimit = Math.min(largestConversations, getRlimit(RLIMIT_NOFILE).soft / 4);
  readonly #buffer = new Uint8Array(datagramBytes);
  #idleCheckedMs = 0;
  #accepted = 0;

  /** `seesClients`: the namespace is ready for it (client-address.ts). */
  constructor(
    public target: Target,
    private readonly seesClients: boolean,
  ) {}

  runForEver(): never {
    for (;;) {
      const timeoutMs = this.#busy.size ? 0 : this.#conversations.size ? idleCheckMs : -1;
      for (const fd of this.#epoll.wait(timeoutMs)) this.#actions.get(fd)?.();
      for (const connection of this.#busy) this.#move(connection);
      this.#forgetIdle();
    }
  }

  add(forward: Forward): void {
    const isTcp = forward.protocol === "tcp";
    this.watch(forward.listenerFd, () => (isTcp ? this.#accept(forward) : this.#receive(forward)));
  }

  /** Its connections end. The listening socket is closed. */
  remove(listenerFd: number): void {
    this.#epoll.remove(listenerFd);
    this.#forget(listenerFd);
    for (const connection of this.#connections) if (connection.listenerFd === listenerFd) this.#drop(connection);
    for (const [key, conversation] of this.#conversations) {
      if (conversation.listenerFd === listenerFd) this.#end(key, conversation);
    }
  }

  /** `action` is called while there is something to read. */
  watch(fd: number, action: () => void, events = EPOLLIN): void {
    this.#actions.set(fd, action);
    this.#epoll.add(fd, events);
  }

  #forget(fd: number): void {
    this.#actions.delete(fd);
    close(fd);
  }

  /** One at a time: the next is told of again. */
  #accept({ listenerFd, port }: Forward): void {
    const call = this.#next(listenerFd);
    if (!call) return;
    const { fd: client } = call;
    const server = this.#connect(call, port);
    if (server === undefined) return close(client);
    const flow = (from: number, to: number): Flow => ({ from, to, restBytes: 0, hasEnded: false });
    const flows: Connection["flows"] = [flow(client, server), flow(server, client)];
    const connection: Connection = { listenerFd, client, server, isConnected: false, flows };
    this.#connections.add(connection);
    if (++this.#accepted % connectionsPerCollection === 0) Bun.gc(true); // without an event loop the engine gives nothing back
    // told once of each change: both are read, or written, until they would block
    const events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    this.watch(client, () => void this.#busy.add(connection), events);
    this.watch(server, () => this.#answered(connection), events);
  }

  /** Where no descriptor is left, callers wait until one is. */
  #next(listenerFd: number): ReturnType<typeof acceptFrom> {
    try {
      return acceptFrom(listenerFd);
    } catch {
      Bun.sleepSync(fullPauseMs);
      return undefined;
    }
  }

  /** From the client's own port where the container does not use it. */
  #connect({ fd, client }: { fd: number; client: Endpoint }, port: number): number | undefined {
    const to = { address: this.target.address, port };
    if (!this.seesClients) return attempt(() => beginConnect("tcp", to));
    const source = sourceFor(client, endpointOf(fd).address, this.target);
    const server = attempt(() => beginConnect("tcp", to, source));
    return server ?? attempt(() => beginConnect("tcp", to, { ...source, port: 0 }));
  }

  #answered(connection: Connection): void {
    connection.isConnected = true; // or refused: the next read says so
    this.#busy.add(connection);
  }

  /** What can be read, as far as it can be written; a part of it where there is much, for the others have their turn. */
  #move(connection: Connection): void {
    if (!connection.isConnected) return void this.#busy.delete(connection);
    const [there, back] = connection.flows;
    try {
      const [goesOn, comesBack] = [this.#moveFlow(there), this.#moveFlow(back)];
      if (there.hasEnded && back.hasEnded) return this.#drop(connection);
      if (!goesOn && !comesBack) this.#busy.delete(connection);
    } catch {
      this.#drop(connection); // refused or reset by one of the two
    }
  }

  /** True where it has not come to its end, or to where it would block. */
  #moveFlow(flow: Flow): boolean {
    for (let count = 0; count < movesPerTurn && !flow.hasEnded; count++) {
      if (!this.#write(flow)) return false;
      const length = this.#read(flow);
      if (length === undefined) return false;
      if (length > 0) continue;
      flow.hasEnded = true;
      endWriting(flow.to);
    }
    return !flow.hasEnded;
  }

  #read(flow: Flow): number | undefined {
    flow.pipe = this.#pipes.pop() ?? newPipe();
    try {
      const length = splice(flow.from, flow.pipe.writeFd, pipeBytes);
      flow.restBytes = length ?? 0;
      return length;
    } finally {
      if (!flow.restBytes) this.#putBack(flow);
    }
  }

  /** True where nothing is left to be written. */
  #write(flow: Flow): boolean {
    while (flow.pipe && flow.restBytes) {
      const written = splice(flow.pipe.readFd, flow.to, flow.restBytes);
      if (written === undefined) return false;
      flow.restBytes -= written;
    }
    this.#putBack(flow);
    return true;
  }

  /** The empty pipe, for the next one. */
  #putBack(flow: Flow): void {
    if (flow.pipe && this.#pipes.length < sparePipes) this.#pipes.push(flow.pipe);
    else if (flow.pipe) closePipe(flow.pipe);
    flow.pipe = undefined;
  }

  #drop(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    this.#busy.delete(connection);
    this.#forget(connection.client);
    this.#forget(connection.server);
    for (const { pipe } of connection.flows) if (pipe) closePipe(pipe);
  }

  #receive({ listenerFd, port }: Forward): void {
    for (const { bytes, from } of this.#datagrams(listenerFd)) {
      const key = `${listenerFd} ${from.toString("hex")}`;
      const conversation = this.#conversations.get(key) ?? this.#begin(key, { listenerFd, port, client: from });
      if (!conversation) continue;
      sendTo(conversation.fd, bytes);
      conversation.lastMs = performance.now();
      this.#conversations.delete(key);
      this.#conversations.set(key, conversation); // the first is the one that was silent the longest
    }
  }

  /** Those that are there, as many as one turn has: of the rest it is told again. */
  *#datagrams(fd: number): Generator<{ bytes: Uint8Array; from: Buffer }> {
    for (let count = 0; count < datagramsPerTurn; count++) {
      const got = receiveFrom(fd, this.#buffer);
      if (!got) return;
      yield { bytes: this.#buffer.subarray(0, got.length), from: got.from };
    }
  }

  #begin(key: string, { listenerFd, port, client }: { listenerFd: number; port: number; client: Buffer }) {
    const [silent] = this.#conversations;
    if (silent && this.#conversations.size >= this.#conversationsLimit) this.#end(...silent);
    const fd = attempt(() => beginConnect("udp", { address: this.target.address, port }));
    if (fd === undefined) return undefined;
    const conversation: Conversation = { fd, listenerFd, client, lastMs: 0 };
    this.#conversations.set(key, conversation);
    this.watch(fd, () => this.#answer(conversation));
    return conversation;
  }

  #answer(conversation: Conversation): void {
    const { fd, listenerFd, client } = conversation;
    for (const { bytes } of this.#datagrams(fd)) {
      sendTo(listenerFd, bytes, client);
      conversation.lastMs = performance.now();
    }
  }

  #forgetIdle(): void {
    const nowMs = performance.now();
    if (this.#conversations.size === 0 || nowMs < this.#idleCheckedMs + idleCheckMs) return;
    this.#idleCheckedMs = nowMs;
    for (const [key, conversation] of this.#conversations) {
      if (conversation.lastMs <= nowMs - idleMs) this.#end(key, conversation);
    }
  }

  #end(key: string, { fd }: Conversation): void {
    this.#conversations.delete(key);
    this.#forget(fd);
  }
}

function newPipe(): Pipe {
  const fresh = pipe();
  growPipe(fresh.readFd, pipeBytes);
  return fresh;
}

function closePipe({ readFd, writeFd }: Pipe): void {
  close(readFd);
  close(writeFd);
}

/** Undefined where no descriptor or no port is left: the client is turned away, the others go on. */
function attempt(action: () => number): number | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}
