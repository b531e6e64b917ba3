/** epoll(7): waiting for many descriptors, of which few have something to tell, at the price of these few. */

import { EPOLL_CTL_ADD, EPOLL_CTL_DEL } from "../constants.ts";
import { c, check, failedWith } from "../libc.ts";
import { signalSetBytes } from "./process.ts";

// <linux/eventpoll.h>: struct epoll_event is packed on x86_64 only
const eventBytes = process.arch === "x64" ? 12 : 16;
const dataOffset = eventBytes - 8;
const eventsAtOnce = 64;
const EINTR = 4;

export class Epoll {
  readonly #fd = check("epoll_create1", c.epoll_create1(0x80000 /* EPOLL_CLOEXEC */));
  readonly #events = Buffer.alloc(eventsAtOnce * eventBytes);

  /** `events`: EPOLL* in constants.ts. Ends when the descriptor's file is closed everywhere. */
  add(fd: number, events: number): void {
    const event = Buffer.alloc(eventBytes);
    event.writeInt32LE(events, 0);
    event.writeInt32LE(fd, dataOffset);
    check("epoll_ctl", c.epoll_ctl(this.#fd, EPOLL_CTL_ADD, fd, event), `descriptor ${fd}`);
  }

  /** For a descriptor whose file others have too. */
  remove(fd: number): void {
    check("epoll_ctl", c.epoll_ctl(this.#fd, EPOLL_CTL_DEL, fd, null), `descriptor ${fd}`);
  }

  /** Descriptors with something to tell. `timeoutMs` -1 waits for ever. */
  wait(timeoutMs: number): number[] {
    const count = c.epoll_pwait(this.#fd, this.#events, eventsAtOnce, timeoutMs, null, signalSetBytes);
    if (failedWith(count, EINTR)) return [];
    check("epoll_pwait", count);
    return Array.from({ length: count }, (_, index) => this.#events.readInt32LE(index * eventBytes + dataOffset));
  }
}
