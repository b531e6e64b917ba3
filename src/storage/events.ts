/**
 * What happened: `events` in the store, one line of JSON for each event, appended with one write(2), so that commands and
 * monitors do so at once. At a megabyte it becomes `events.old`, in place of the one before.
 */

import { hasCode } from "../errors.ts";
import { appendFileSync, closeSync, lstatSync, openSync, readSync, renameSync } from "../ns/sys/fs.ts";
import type { ContainerRecord } from "./containers.ts";
import { withLock } from "./files.ts";
import { paths } from "./store.ts";

export const eventTypes = ["container", "image", "network", "volume"] as const;

export interface PodEvent {
  type: (typeof eventTypes)[number];
  /** Docker's word for it: `create`, `die`, `pull` … */
  action: string;
  /** Of the container or network; of the image, or its name where Docker names that; of volumes, and of networks without a record, their name. */
  id: string;
  attributes: Record<string, string>;
  /** Nanoseconds since 1970, in decimal. */
  timeNs: string;
}

const maximumBytes = 1 << 20;
const oldFile = `${paths.events}.old`;

/** Labels are attributes too, as with Docker. */
export function recordContainerEvent(
  action: string,
  { id, name, image, labels }: ContainerRecord,
  attributes: Record<string, string> = {},
): void {
  recordEvent("container", action, id, { ...labels, image: image.reference, name, ...attributes });
}

/** What is told of a program that is run beside a container's own; `onEnd` in the process that has waited for it. */
export function execEvents(record: ContainerRecord, command: string[]) {
  const execID = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
  const words = command.join(" ");
  return {
    onStart(): void {
      recordContainerEvent(`exec_create: ${words}`, record, { execID });
      recordContainerEvent(`exec_start: ${words}`, record, { execID });
    },
    onEnd(exitCode: number): void {
      recordContainerEvent("exec_die", record, { execID, exitCode: String(exitCode) });
    },
  };
}

/** `name` is what people write: `alpine:latest`. */
export function recordImageEvent(action: string, id: string, name: string): void {
  recordEvent("image", action, id, { name });
}

export function recordVolumeEvent(action: string, name: string): void {
  recordEvent("volume", action, name, { driver: "local" });
}

/** `type` is Docker's word for the driver. */
export function recordNetworkEvent(
  action: string,
  { id, name, driver }: { id: string; name: string; driver: string },
  attributes: Record<string, string> = {},
): void {
  recordEvent("network", action, id, { name, type: driver, ...attributes });
}

/** Never throws: what an event tells of has happened, also where the disk is full and it can't be written. */
function recordEvent(type: PodEvent["type"], action: string, id: string, attributes: Record<string, string>): void {
  const timeNs = String(BigInt(Date.now()) * 1_000_000n);
  try {
    appendFileSync(paths.events, `${JSON.stringify({ type, action, id, attributes, timeNs } satisfies PodEvent)}\n`);
    if (isFull()) withLock("events", () => isFull() && renameSync(paths.events, oldFile));
  } catch {
    // said above
  }
}

function isFull(): boolean {
  return lstatSync(paths.events).size >= maximumBytes;
}

/** Reads what is there, and at each further call what has come since. To be closed. */
export class EventReader {
  #fd: number | undefined;
  #offset = 0;
  #inode: bigint | undefined;
  #rest = "";

  /** From the oldest on, or only what comes from now on. */
  constructor({ past }: { past: boolean }) {
    if (past) this.#open(oldFile);
    else for (const _ of this.read());
  }

  *read(): Generator<PodEvent> {
    for (;;) {
      yield* this.#lines();
      if (!this.#isReplaced()) return;
      yield* this.#lines(); // written before it was replaced
      this.close();
      this.#open(paths.events);
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(path: string): void {
    try {
      this.#fd = openSync(path, "r");
      this.#inode = lstatSync(path).inode;
      this.#offset = 0;
      this.#rest = "";
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
    }
  }

  /** The file that is appended to is another one than ours. */
  #isReplaced(): boolean {
    try {
      return lstatSync(paths.events).inode !== this.#inode;
    } catch (error) {
      if (hasCode(error, "ENOENT")) return false;
      throw error;
    }
  }

  *#lines(): Generator<PodEvent> {
    if (this.#fd === undefined) return;
    const buffer = Buffer.alloc(1 << 16);
    for (let length: number; (length = readSync(this.#fd, buffer, 0, buffer.length, this.#offset)) > 0; ) {
      this.#offset += length;
      const lines = (this.#rest + buffer.toString("latin1", 0, length)).split("\n");
      this.#rest = lines.pop()!;
      for (const line of lines) {
        const event = parseEvent(Buffer.from(line, "latin1").toString());
        if (event) yield event;
      }
    }
  }
}

/** A line that a full disk has cut is passed over. */
function parseEvent(line: string): PodEvent | undefined {
  try {
    return JSON.parse(line) as PodEvent;
  } catch {
    return undefined;
  }
}
