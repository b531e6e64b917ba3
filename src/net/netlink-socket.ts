/**
 * A conversation with the kernel over netlink(7), about the network namespace that the socket was opened in: who has it need
 * not be there.
 */

import { SyscallError } from "../errors.ts";
import { AF_NETLINK, SOCK_RAW } from "../ns/constants.ts";
import { readInto, socket, writeAll } from "../ns/sys/descriptor.ts";
import { close } from "../ns/sys/file.ts";
import { unlessErrno } from "../ns/sys/namespace.ts";
import {
  type Attribute,
  encodeMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseMessages,
} from "./netlink.ts";

// <linux/netlink.h>
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

/** What is asked for: netlink.ts makes bytes of it. */
export interface NetlinkRequest {
  type: number;
  /** Besides NLM_F_REQUEST and NLM_F_ACK. */
  flags?: number;
  body: Uint8Array;
  attributes?: Attribute[];
}

/** About the network namespace that this process is in. */
export function openNetlink(protocol = NETLINK_ROUTE): Netlink {
  return new Netlink(socket(AF_NETLINK, SOCK_RAW, protocol));
}

export class Netlink {
  readonly #buffer = Buffer.allocUnsafe(1 << 16);
  /** Not from 0 on: the socket may be shared, one after the other, and hold answers to who was killed before reading them. */
  #sequence = Math.floor(Math.random() * 2 ** 31);

  constructor(readonly fd: number) {}

  /** Has it done. Throws SyscallError; `what` says in it what was to be done. */
  request({ type, flags = 0, body, attributes }: NetlinkRequest, what: string): void {
    const sequence = ++this.#sequence;
    const header = { type, flags: NLM_F_REQUEST | NLM_F_ACK | flags, sequence };
    writeAll(this.fd, encodeMessage(header, body, attributes));
    this.#receive(sequence, what, () => {});
  }

  /** One object: what follows its message's header. Undefined where there is none. */
  get({ type, body, attributes }: NetlinkRequest, what: string): Buffer | undefined {
    const sequence = ++this.#sequence;
    writeAll(this.fd, encodeMessage({ type, flags: NLM_F_REQUEST | NLM_F_ACK, sequence }, body, attributes));
    let found: Buffer | undefined;
    const isThere = unlessErrno(["ENODEV"], () =>
      this.#receive(sequence, what, (payload) => {
        found = Buffer.from(payload);
      }),
    );
    return isThere ? found : undefined;
  }

  /** All objects of a kind: of each what follows the message's header. */
  dump({ type, body, attributes }: NetlinkRequest, what: string): Buffer[] {
    const sequence = ++this.#sequence;
    writeAll(this.fd, encodeMessage({ type, flags: NLM_F_REQUEST | NLM_F_DUMP, sequence }, body, attributes));
    const found: Buffer[] = [];
    this.#receive(sequence, what, (payload) => found.push(Buffer.from(payload)));
    return found;
  }

  /** Several messages that hold together or not at all: nf_tables wants its changes so. They carry their sequence numbers. */
  transaction(messages: (first: number) => Buffer[], what: string): void {
    const first = this.#sequence + 1;
    const parts = messages(first);
    this.#sequence += parts.length;
    writeAll(this.fd, Buffer.concat(parts));
    this.#receive(this.#sequence - 1, what, () => {}, first); // the last but the end of the batch is asked to be acknowledged
  }

  close(): void {
    close(this.fd);
  }

  /** Until the answer to `sequence` is complete, or that to one from `first` on is an error. */
  #receive(sequence: number, what: string, onMessage: (payload: Buffer) => void, first = sequence): void {
    for (;;) {
      const length = readInto(this.fd, this.#buffer) ?? 0;
      for (const message of parseMessages(this.#buffer.subarray(0, length))) {
        if (message.sequence < first || message.sequence > sequence) continue;
        if (message.type === NLMSG_ERROR) {
          const errno = -message.payload.readInt32LE(0);
          if (errno) throw new SyscallError("netlink", errno, what);
        }
        if (message.type > NLMSG_DONE) onMessage(message.payload);
        else if (message.sequence === sequence) return;
      }
    }
  }
}
