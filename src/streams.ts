/**
 * A running container's standard streams, its client and its log, in one poll(2) loop. Memory is bounded: while the
 * client's queue is full the container's output waits in its pipe, as it would in a shell's pipeline; while the
 * program does not read its input, the client's waits in the socket.
 */

import { hasCode } from "./errors.ts";
import {
  type ClientMessage,
  encodeControl,
  encodeFrame,
  type Frame,
  FrameReader,
  frameStreams,
  type MonitorMessage,
} from "./frames.ts";
import { POLLERR, POLLHUP, POLLIN, POLLOUT } from "./ns/constants.ts";
import { poll, readInto, setNonBlocking, writeFrom } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { setWindowSize } from "./ns/sys/terminal.ts";
import type { LogStream, LogWriter } from "./storage/logs.ts";

const queueLimitBytes = 1 << 20;
const readBytes = 1 << 16;

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

/** The command that started the container, as long as it is there. */
export class Client {
  private readonly reader = new FrameReader();
  private readonly outbox = new Outbox();
  /** Undefined when it has gone or detached. */
  fd: number | undefined;
  attached = false;
  /** Frames that came with the first message: the client does not wait for the container to run. */
  early: Frame[] = [];

  constructor(fd: number) {
    this.fd = fd;
    setNonBlocking(fd, true);
  }

  get isFull(): boolean {
    return this.outbox.sizeBytes > queueLimitBytes;
  }
  get hasOutput(): boolean {
    return this.outbox.sizeBytes > 0;
  }

  send(message: MonitorMessage): void {
    this.write(encodeControl(message));
  }
  sendOutput(stream: LogStream, bytes: Uint8Array): void {
    if (this.attached) this.write(encodeFrame(frameStreams[stream], bytes));
  }
  private write(frame: Uint8Array): void {
    if (this.fd === undefined) return;
    this.outbox.push(frame);
    this.flush();
  }
  flush(): void {
    if (this.fd === undefined) return;
    try {
      this.outbox.flush(this.fd);
    } catch (error) {
      if (!hasCode(error, "EPIPE", "ECONNRESET")) throw error;
      this.drop();
    }
  }
  /** Sends all that is queued, however long the client takes. */
  drain(): void {
    while (this.fd !== undefined && this.hasOutput) {
      poll([{ fd: this.fd, events: POLLOUT }], -1);
      this.flush();
    }
  }

  /** The frames that have arrived; undefined where the client has gone. */
  receive(buffer: Uint8Array) {
    try {
      const length = readInto(this.fd!, buffer);
      if (length === undefined) return [];
      if (length > 0) return this.reader.push(buffer.subarray(0, length));
    } catch (error) {
      if (!hasCode(error, "ECONNRESET")) throw error;
    }
    this.drop();
    return undefined;
  }

  drop(): void {
    if (this.fd !== undefined) close(this.fd);
    this.fd = undefined;
    this.outbox.clear();
  }
}

/** The container's ends that the monitor holds. With a terminal all three are its master. */
export interface ContainerStreams {
  stdin?: number;
  outputs: { fd: number; stream: LogStream }[];
  terminal?: number;
}

export interface PumpHooks {
  onMessage(message: ClientMessage): void;
  /** Further descriptors to watch, asked anew each time round: when one is readable its action runs. */
  watched(): { fd: number; action: () => void }[];
}

/** Moves bytes between the container, the log and the client. */
export class Streams {
  private readonly input = new Outbox();
  private inputEnded = false;
  private readonly buffer = new Uint8Array(readBytes);

  constructor(
    private readonly streams: ContainerStreams,
    private readonly client: Client,
    private readonly log: LogWriter,
    private readonly hooks: PumpHooks,
  ) {
    for (const { fd } of streams.outputs) setNonBlocking(fd, true);
    if (streams.stdin !== undefined) setNonBlocking(streams.stdin, true);
  }

  /** One round of the loop: waits for the next event, and answers all that are there. */
  pump(): void {
    this.takeFrames(this.client.early.splice(0));
    const actions: { fd: number; events: number; action: (events: number) => void }[] = [];
    const { client } = this;
    if (client.fd !== undefined) {
      const wantsInput = this.input.sizeBytes < queueLimitBytes ? POLLIN : 0;
      actions.push({
        fd: client.fd,
        events: wantsInput | (client.hasOutput ? POLLOUT : 0),
        action: (events) => {
          if (events & POLLOUT) client.flush();
          if (client.fd !== undefined && events & (POLLIN | POLLHUP | POLLERR)) this.readClient();
        },
      });
    }
    if (!client.isFull) {
      for (const output of this.streams.outputs) {
        actions.push({ fd: output.fd, events: POLLIN, action: () => this.readOutput(output) });
      }
    }
    if (this.streams.stdin !== undefined && this.input.sizeBytes > 0) {
      actions.push({ fd: this.streams.stdin, events: POLLOUT, action: () => this.writeInput() });
    }
    for (const { fd, action } of this.hooks.watched()) actions.push({ fd, events: POLLIN, action });
    const events = poll(actions, -1);
    actions.forEach(({ action }, index) => {
      if (events[index]) action(events[index]!);
    });
  }

  /** What is still in the pipes when the container has ended: every writer is gone, so the end comes. */
  drainOutputs(): void {
    for (const output of [...this.streams.outputs]) {
      while (this.streams.outputs.includes(output)) {
        this.client.drain();
        if (!this.readOutput(output)) break;
      }
    }
  }

  private readClient(): void {
    const frames = this.client.receive(this.buffer);
    if (frames) this.takeFrames(frames);
    else this.endInput();
  }

  private takeFrames(frames: Frame[]): void {
    for (const { stream, payload } of frames) {
      if (stream === frameStreams.stdin) {
        if (this.streams.stdin !== undefined) this.input.push(Uint8Array.from(payload));
      } else this.hooks.onMessage(JSON.parse(payload.toString()) as ClientMessage);
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
    let length: number | undefined;
    try {
      length = readInto(output.fd, this.buffer);
    } catch (error) {
      if (!hasCode(error, "EIO")) throw error; // a terminal that nobody has open
      length = 0;
    }
    if (length === undefined) return false;
    if (length === 0) {
      this.streams.outputs = this.streams.outputs.filter((other) => other !== output);
      if (output.fd !== this.streams.terminal) close(output.fd);
      return false;
    }
    const bytes = this.buffer.subarray(0, length);
    this.log.append(output.stream, bytes);
    this.client.sendOutput(output.stream, bytes);
    return true;
  }
}
