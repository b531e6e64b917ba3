/**
 * Published ports: connections and datagrams that arrive at listening sockets go on to a container's address. The
 * sockets belong to the host's network namespace, where they were made; the process that forwards is in the container's.
 */

import { POLLIN, POLLOUT } from "../ns/constants.ts";
import { accept, poll, readInto, writeFrom } from "../ns/sys/descriptor.ts";
import { close } from "../ns/sys/file.ts";
import {
  beginConnect,
  connectError,
  type Endpoint,
  endWriting,
  type Protocol,
  receiveFrom,
  sendTo,
} from "../ns/sys/socket.ts";

/** A socket, and where what it gets goes. */
export interface Forward {
  protocol: Protocol;
  listenerFd: number;
  target: Endpoint;
}

const chunkBytes = 1 << 18;
const idleMs = 90_000; // of datagrams: a conversation without any is over

const fullPauseMs = 10;
const none = -1;

/** One direction of a connection. */
interface Flow {
  from: number;
  to: number;
  /** Read, and not written yet. */
  rest: Uint8Array;
  hasEnded: boolean;
}

interface Connection {
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

type Watched = { fd: number; events: number; action: () => void };

/** Never returns. */
export function forwardForEver(forwards: Forward[]): never {
  const forwarder = new Forwarder(forwards);
  for (;;) forwarder.turn();
}

class Forwarder {
  readonly #buffer = new Uint8Array(chunkBytes);
  readonly #connections = new Set<Connection>();
  readonly #conversations = new Map<string, Conversation>();

  constructor(private readonly forwards: Forward[]) {}

  turn(): void {
    const watched = [...this.#listeners(), ...this.#streams(), ...this.#datagrams()];
    const events = poll(watched, this.#conversations.size ? 1000 : -1);
    watched.forEach(({ action }, index) => {
      if (events[index]) action();
    });
    this.#forgetIdle();
  }

  #listeners(): Watched[] {
    return this.forwards.map((forward) => ({
      fd: forward.listenerFd,
      events: POLLIN,
      action: () => (forward.protocol === "tcp" ? this.#accept(forward) : this.#receive(forward)),
    }));
  }

  #accept({ listenerFd, target }: Forward): void {
    for (let client = this.#next(listenerFd); client !== undefined; client = this.#next(listenerFd)) {
      const server = attempt(() => beginConnect("tcp", target));
      if (server === undefined) {
        close(client);
        continue;
      }
      const flow = (from: number, to: number): Flow => ({ from, to, rest: new Uint8Array(0), hasEnded: false });
      this.#connections.add({
        client,
        server,
        isConnected: false,
        flows: [flow(client, server), flow(server, client)],
      });
    }
  }

  /** Where no descriptor is left, callers wait until one is. */
  #next(listenerFd: number): number | undefined {
    const client = attempt(() => accept(listenerFd) ?? none);
    if (client === undefined) Bun.sleepSync(fullPauseMs);
    return client === none ? undefined : client;
  }

  #streams(): Watched[] {
    return [...this.#connections].flatMap((connection): Watched[] => {
      if (!connection.isConnected) {
        return [{ fd: connection.server, events: POLLOUT, action: () => this.#connected(connection) }];
      }
      return connection.flows
        .filter(({ hasEnded, rest }) => !hasEnded || rest.length)
        .map((flow) => ({
          fd: flow.rest.length ? flow.to : flow.from,
          events: flow.rest.length ? POLLOUT : POLLIN,
          action: () => this.#move(connection, flow),
        }));
    });
  }

  #connected(connection: Connection): void {
    if (connectError(connection.server)) return this.#drop(connection); // nobody listens there
    connection.isConnected = true;
    for (const flow of connection.flows) this.#move(connection, flow);
  }

  /** What can be read, as far as it can be written. */
  #move(connection: Connection, flow: Flow): void {
    if (!this.#connections.has(connection)) return;
    try {
      while (this.#write(flow)) {
        const length = readInto(flow.from, this.#buffer);
        if (length === undefined) return;
        if (length === 0) {
          flow.hasEnded = true;
          endWriting(flow.to);
          break;
        }
        flow.rest = this.#buffer.subarray(0, length);
        this.#write(flow);
        if (flow.rest.length) flow.rest = flow.rest.slice(); // the buffer is for all
        if (length < chunkBytes) break; // likely all that is there; the others have their turn
      }
      if (connection.flows.every(({ hasEnded, rest }) => hasEnded && rest.length === 0)) this.#drop(connection);
    } catch {
      this.#drop(connection); // reset by one of the two
    }
  }

  /** True where nothing is left to be written. */
  #write(flow: Flow): boolean {
    while (flow.rest.length) {
      const written = writeFrom(flow.to, flow.rest);
      if (written === undefined) return false;
      flow.rest = flow.rest.subarray(written);
    }
    return true;
  }

  #drop(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    close(connection.client);
    close(connection.server);
  }

  #receive({ listenerFd, target }: Forward): void {
    for (let got = receiveFrom(listenerFd, this.#buffer); got; got = receiveFrom(listenerFd, this.#buffer)) {
      const key = `${listenerFd} ${got.from.toString("hex")}`;
      const known = this.#conversations.get(key);
      const fd = known?.fd ?? attempt(() => beginConnect("udp", target));
      if (fd === undefined) continue;
      sendTo(fd, this.#buffer.subarray(0, got.length));
      this.#conversations.set(key, { fd, listenerFd, client: got.from, lastMs: performance.now() });
    }
  }

  #datagrams(): Watched[] {
    return [...this.#conversations.values()].map((conversation) => ({
      fd: conversation.fd,
      events: POLLIN,
      action: () => {
        const { fd, listenerFd, client } = conversation;
        for (let got = receiveFrom(fd, this.#buffer); got; got = receiveFrom(fd, this.#buffer)) {
          sendTo(listenerFd, this.#buffer.subarray(0, got.length), client);
          conversation.lastMs = performance.now();
        }
      },
    }));
  }

  #forgetIdle(): void {
    const limitMs = performance.now() - idleMs;
    for (const [key, { fd, lastMs }] of this.#conversations) {
      if (lastMs > limitMs) continue;
      close(fd);
      this.#conversations.delete(key);
    }
  }
}

/** Undefined where no descriptor or no port is left: the client is turned away, the others go on. */
function attempt(action: () => number): number | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}
