/**
 * A running container's standard streams, its clients and its log, in one poll(2) loop. Output goes to the log, and
 * clients read it there, which costs no memory. None of them, however slow, makes the container wait; but the one that
 * started it does, before anything is cut off the log that it has not read. While the program does not read its input,
 * the clients' waits in their sockets.
 */

import { hasCode } from "./errors.ts";
import {
  type ClientMessage,
  encodeControl,
  type Frame,
  FrameReader,
  frameStreams,
  type MonitorMessage,
} from "./frames.ts";
import { POLLERR, POLLHUP, POLLIN, POLLOUT } from "./ns/constants.ts";
import { poll, readInto, sendMessage, setNonBlocking, writeFrom } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { setWindowSize } from "./ns/sys/terminal.ts";
import type { ContainerLog } from "./storage/container-log.ts";
import type { LogStream } from "./storage/log-format.ts";

const queueLimitBytes = 1 << 20;
const readBytes = 1 << 16;
/** A program that writes without a pause is read that much later, in larger pieces: else each of its writes is a record. */
const gatherMs = 1;

/** Bytes on their way to a non-blocking descriptor. */
class Outbox {
  private chunks: Uint8Array[] = [];
  sizeBytes = 0;

  push(bytes: Uint8Array): void {
    this.chunks.push(bytes);
    this.sizeBytes += bytes.length;
  }

  /** Writes what fits. Throws where the reader is gone. */
  flush(fd: number): void {
    for (let chunk = this.chunks[0]; chunk; chunk = this.chunks[0]) {
      const written = writeFrom(fd, chunk);
      if (written === undefined) return;
      this.sizeBytes -= written;
      if (written < chunk.length) this.chunks[0] = chunk.subarray(written);
      else this.chunks.shift();
    }
  }

  clear(): void {
    this.chunks = [];
    this.sizeBytes = 0;
  }
}

/** A command that is attached: the one that started the container, and others that came later. */
export class Client {
  private readonly reader = new FrameReader();
  /** Frames that came with the first message: the client does not wait for the container to run. */
  early: Frame[] = [];
  /** How far it has read the log, as it said last. */
  readTo = 0;
  private wantsMore = false;
  isOpen = true;

  constructor(readonly fd: number) {
    setNonBlocking(fd, true);
  }

  /** One that does not read what little it is told has gone. */
  send(message: MonitorMessage): void {
    if (!this.isOpen) return;
    const frame = encodeControl(message);
    this.orDrop(() => writeFrom(this.fd, frame) === frame.length);
  }

  /** The frames that have arrived; undefined where the client has gone. */
  receive(buffer: Uint8Array): Frame[] | undefined {
    try {
      const length = readInto(this.fd, buffer);
      if (length === undefined) return [];
      if (length > 0) return this.reader.push(buffer.subarray(0, length));
    } catch (error) {
      if (!hasCode(error, "ECONNRESET")) throw error;
    }
    this.drop();
    return undefined;
  }

  /** It has read the log, which is `logBytes` long, so far. */
  hasRead({ position, wantsMore }: Extract<ClientMessage, { kind: "read" }>, logBytes: number): void {
    this.readTo = position;
    this.wantsMore = wantsMore;
    if (logBytes > position) this.tellOfMore();
  }

  /** Once for each time that it asks: a slow reader's socket does not fill. */
  tellOfMore(): void {
    if (!this.wantsMore) return;
    this.wantsMore = false;
    this.send({ kind: "logged" });
  }

  /** An answer with descriptors of the container's. */
  sendDescriptors(fds: number[]): void {
    if (!this.isOpen) return;
    this.orDrop(() => {
      sendMessage(this.fd, encodeControl({ kind: "done" } satisfies MonitorMessage), fds);
      return true;
    });
  }

  /** Whatever is wrong with one client is no reason to end the container. */
  private orDrop(wasSent: () => boolean): void {
    try {
      if (!wasSent()) this.drop();
    } catch {
      this.drop();
    }
  }

  drop(): void {
    if (this.isOpen) close(this.fd);
    this.isOpen = false;
  }
}

/** The container's ends that the monitor holds. With a terminal all three are its master. */
export interface ContainerStreams {
  stdin?: number;
  outputs: { fd: number; stream: LogStream }[];
  terminal?: number;
}

export interface PumpHooks {
  onMessage(message: ClientMessage, client: Client): void;
  /** It has ended the conversation. */
  onGone(client: Client): void;
  /** Further descriptors to watch, asked anew each time round: when one is readable its action runs. */
  watched(): { fd: number; action: () => void }[];
  /** How long to wait for any of it: milliseconds, or -1. */
  waitMs(): number;
}

/** Moves bytes between the container, the log and the clients. */
export class Streams {
  private readonly input = new Outbox();
  private inputEnded = false;
  private lastOutputMs = 0;
  private isGathering = false;
  private readonly buffer = new Uint8Array(readBytes);
  private clients: Client[];

  constructor(
    private readonly streams: ContainerStreams,
    /** The one that started the container, where its end is that of the container's input. */
    private readonly first: Client | undefined,
    private readonly log: ContainerLog,
    private readonly hooks: PumpHooks,
  ) {
    this.clients = first ? [first] : [];
    if (first) first.readTo = log.sizeBytes;
    for (const { fd } of streams.outputs) setNonBlocking(fd, true);
    if (streams.stdin !== undefined) setNonBlocking(streams.stdin, true);
  }

  addClient(client: Client): void {
    this.clients.push(client);
  }

  tellAll(message: MonitorMessage): void {
    for (const client of this.clients) client.send(message);
  }

  /** One round of the loop: waits for the next event, and answers all that are there. */
  pump(): void {
    if (this.first) this.takeFrames(this.first.early.splice(0), this.first);
    for (const client of this.clients) if (!client.isOpen) this.clientGone(client);
    this.clients = this.clients.filter(({ isOpen }) => isOpen);
    const actions: { fd: number; events: number; action: () => void }[] = [];
    const inputIsFull = this.input.sizeBytes >= queueLimitBytes;
    for (const client of this.clients) {
      const events = inputIsFull ? POLLHUP | POLLERR : POLLIN;
      actions.push({ fd: client.fd, events, action: () => this.readClient(client) });
    }
    const isBehind = this.first?.isOpen && this.log.isFarFrom(this.first.readTo);
    const outputs = isBehind || this.isGathering ? [] : this.streams.outputs;
    for (const output of outputs) {
      actions.push({ fd: output.fd, events: POLLIN, action: () => this.readOutput(output) });
    }
    if (this.streams.stdin !== undefined && this.input.sizeBytes > 0) {
      actions.push({ fd: this.streams.stdin, events: POLLOUT, action: () => this.writeInput() });
    }
    for (const { fd, action } of this.hooks.watched()) actions.push({ fd, events: POLLIN, action });
    const events = poll(actions, this.waitMs());
    this.isGathering = false;
    actions.forEach(({ action }, index) => {
      if (events[index]) action();
    });
  }

  private waitMs(): number {
    const waitMs = this.hooks.waitMs();
    if (!this.isGathering) return waitMs;
    return waitMs === -1 ? gatherMs : Math.min(waitMs, gatherMs);
  }

  /** What is still in the pipes when the container has ended: every writer is gone, so the end comes. */
  drainOutputs(): void {
    for (const output of [...this.streams.outputs]) while (this.readOutput(output));
  }

  private readClient(client: Client): void {
    const frames = client.isOpen ? client.receive(this.buffer) : undefined;
    if (frames) this.takeFrames(frames, client);
  }

  /** Also before the program began: the command may have been killed meanwhile. */
  private clientGone(client: Client): void {
    this.hooks.onGone(client);
    if (client === this.first) this.endInput();
  }

  private takeFrames(frames: Frame[], client: Client): void {
    for (const { stream, payload } of frames) {
      if (stream === frameStreams.stdin) {
        if (this.streams.stdin !== undefined) this.input.push(payload);
      } else this.hooks.onMessage(JSON.parse(payload.toString()) as ClientMessage, client);
    }
    if (this.input.sizeBytes > 0) this.writeInput();
  }

  /** The client's input has ended: the program sees the end when it has read all. A terminal stays open. */
  endInput(): void {
    this.inputEnded = true;
    if (this.input.sizeBytes === 0) this.closeInput();
  }

  resize(size: { rows: number; columns: number }): void {
    if (this.streams.terminal !== undefined) setWindowSize(this.streams.terminal, size);
  }

  private writeInput(): void {
    if (this.streams.stdin === undefined) return this.input.clear();
    try {
      this.input.flush(this.streams.stdin);
    } catch (error) {
      if (!hasCode(error, "EPIPE", "EIO")) throw error;
      this.input.clear(); // the program has closed its input
      this.inputEnded = true;
    }
    if (this.inputEnded && this.input.sizeBytes === 0) this.closeInput();
  }

  private closeInput(): void {
    const { stdin, terminal } = this.streams;
    if (stdin === undefined || stdin === terminal) return;
    close(stdin);
    this.streams.stdin = undefined;
  }

  /** Reads once; false where nothing was there. */
  private readOutput(output: { fd: number; stream: LogStream }): boolean {
    if (!this.streams.outputs.includes(output)) return false;
    let length: number | undefined;
    try {
      length = readInto(output.fd, this.buffer);
    } catch (error) {
      if (!hasCode(error, "EIO")) throw error; // a terminal that nobody has open
      length = 0;
    }
    if (length === undefined) return false;
    if (length === 0) {
      this.forgetOutput(output);
      return false;
    }
    this.log.append(output.stream, this.buffer.subarray(0, length));
    const nowMs = performance.now();
    this.isGathering = length < this.buffer.length && nowMs - this.lastOutputMs < 2 * gatherMs;
    this.lastOutputMs = nowMs;
    for (const client of this.clients) client.tellOfMore();
    return true;
  }

  private forgetOutput(output: { fd: number }): void {
    this.streams.outputs = this.streams.outputs.filter((other) => other !== output);
    if (output.fd !== this.streams.terminal) close(output.fd);
  }
}
