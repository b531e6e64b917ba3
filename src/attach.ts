/** The client's side of a running container: its terminal or pipes on one end, the monitor's socket on the other. */

import { Control } from "./control.ts";
import { hasCode, PodError } from "./errors.ts";
import {
  type ClientMessage,
  encodeControl,
  encodeFrame,
  FrameReader,
  frameStreams,
  type MonitorMessage,
} from "./frames.ts";
import { POLLIN, POLLOUT } from "./ns/constants.ts";
import {
  poll,
  readInto,
  readSignal,
  setNonBlocking,
  signalFd,
  writeAll,
  writeFrom,
  writeWithoutWaiting,
} from "./ns/sys/descriptor.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { getTerminalAttributes, getWindowSize, setTerminalAttributes, toRaw } from "./ns/sys/terminal.ts";
import { ending, proxied, SIGWINCH } from "./signals.ts";
import type { LogReader, LogStream } from "./storage/logs.ts";

export interface AttachOptions {
  tty: boolean;
  /** Whether this process's stdin goes to the container. */
  interactive: boolean;
  sigProxy: boolean;
  /** Bytes that end the attachment and leave the container running; only with a terminal. */
  detachKeys: number[];
}

export type AttachResult = { kind: "exited"; exitCode: number } | { kind: "detached" };

const SIGINT = 2;
const SIGTERM = 15;
const pipeBufferBytes = 4096; // PIPE_BUF: pipe(7)
const tellBytes = 1 << 20; // the monitor waits for a client that is some megabytes behind: storage/container-log.ts

/** To a descriptor that poll(2) found writable, without waiting: a pipe takes PIPE_BUF bytes then. Returns how many it took. */
function writeReady(fd: number, bytes: Uint8Array): number {
  const written = writeWithoutWaiting(fd, bytes);
  if (written) return written;
  const chunk = bytes.subarray(0, pipeBufferBytes);
  writeAll(fd, chunk);
  return chunk.length;
}

/** Waits for the monitor's next message, which is not output. Throws where it has gone. */
export function awaitMessage(fd: number, reader: FrameReader): MonitorMessage {
  const buffer = new Uint8Array(65536);
  for (;;) {
    let length: number | undefined;
    unlessErrno(["ECONNRESET"], () => {
      length = readInto(fd, buffer);
    });
    if (!length) throw monitorGone();
    const frame = reader.push(buffer.subarray(0, length)).find(({ stream }) => stream === frameStreams.control);
    const message = frame && (JSON.parse(frame.payload.toString()) as MonitorMessage);
    if (message?.kind === "note") writeAll(2, Buffer.from(`pod: ${message.text}\n`));
    else if (message) return message;
  }
}

/**
 * Carries bytes, signals and window sizes until the container ends or the user detaches. `log`: where its output is to be
 * read from; it is closed.
 */
export function attach(fd: number, log: LogReader, options: AttachOptions): AttachResult {
  const terminal = options.tty && options.interactive ? getTerminalAttributes(0) : undefined;
  if (terminal) setTerminalAttributes(0, toRaw(terminal));
  try {
    return new Attachment(fd, log, options).run();
  } finally {
    if (terminal) setTerminalAttributes(0, terminal);
    log.close();
  }
}

class Attachment {
  private readonly reader = new FrameReader();
  private readonly signals = signalFd([...proxied, SIGWINCH]);
  private readonly detach: DetachScanner;
  private toldPosition: number;
  /** Whether there may be more of the log: until it was found to end, and again when the monitor says so. */
  private hasMore = true;
  private pendingInput: Buffer | undefined;
  private inputOpen: boolean;
  private stderrIsClosed = false;
  /** How often somebody has asked for the end, as Docker's client counts it: programs may ignore it, PID 1 does without being told to. */
  private asked = 0;
  private result: AttachResult | undefined;
  private readonly buffer = new Uint8Array(65536);

  constructor(
    private readonly fd: number,
    private readonly log: LogReader,
    private readonly options: AttachOptions,
  ) {
    this.inputOpen = options.interactive;
    this.detach = new DetachScanner(options.tty ? options.detachKeys : []);
    this.toldPosition = log.position;
    setNonBlocking(fd, true);
  }

  run(): AttachResult {
    while (!this.result) {
      const wantsInput = this.inputOpen && this.pendingInput === undefined;
      const [socket, signal, input] = poll(
        [
          { fd: this.fd, events: POLLIN | (this.pendingInput ? POLLOUT : 0) },
          { fd: this.signals, events: POLLIN },
          { fd: wantsInput ? 0 : -1, events: POLLIN },
        ],
        this.hasMore ? 0 : -1,
      ) as [number, number, number];
      if (signal) this.passSignals();
      if (this.hasMore) this.printMore();
      if (socket & POLLOUT) this.flushInput();
      if (socket & ~POLLOUT) this.readMonitor();
      if (input && !this.result) this.readInput();
    }
    return this.result;
  }

  private printMore(): void {
    this.hasMore = this.printChunk();
    if (this.hasMore && this.log.position - this.toldPosition < tellBytes) return;
    this.toldPosition = this.log.position;
    this.send({ kind: "read", position: this.toldPosition, wantsMore: !this.hasMore });
  }

  /** False where there is no more of the log. */
  private printChunk(): boolean {
    const chunk = this.log.next();
    if (chunk) this.writeOutput(chunk.stream, chunk.bytes);
    return chunk !== undefined;
  }

  private readMonitor(): void {
    const length = readInto(this.fd, this.buffer);
    if (length === undefined) return;
    if (length === 0) {
      while (!this.result && this.printChunk());
      throw monitorGone();
    }
    for (const { payload } of this.reader.push(this.buffer.subarray(0, length))) {
      this.answer(JSON.parse(payload.toString()) as MonitorMessage);
    }
  }

  private answer(message: MonitorMessage): void {
    if (message.kind === "started") this.sendWindowSize();
    if (message.kind === "logged") this.hasMore = true;
    if (message.kind === "note") this.writeOutput("stderr", Buffer.from(`pod: ${message.text}\n`));
    if (message.kind === "failed") throw toError(message);
    if (message.kind !== "exited") return;
    while (!this.result && this.printChunk()); // what it wrote until its end is in the log by now
    if (message.error) this.writeOutput("stderr", Buffer.from(`pod: ${message.error}\n`));
    const exitCode = message.error ? message.exitCode || 125 : message.exitCode; // what is not whole is no success
    this.result ??= { kind: "exited", exitCode };
  }

  /**
   * A reader of stdout that has gone ends the attachment, as SIGPIPE would; the container goes on, as in Docker. While
   * a reader is slow, signals still pass.
   */
  private writeOutput(stream: LogStream, bytes: Uint8Array): void {
    const fd = stream === "stdout" ? 1 : 2;
    for (let start = 0; start < bytes.length && !this.result && !(fd === 2 && this.stderrIsClosed); ) {
      const [output, signal] = poll(
        [
          { fd, events: POLLOUT },
          { fd: this.signals, events: POLLIN },
        ],
        -1,
      ) as [number, number];
      if (signal) this.passSignals();
      if (!output) continue;
      try {
        start += writeReady(fd, bytes.subarray(start));
      } catch (error) {
        if (fd === 2) this.stderrIsClosed = true;
        else if (hasCode(error, "EPIPE")) this.result = { kind: "exited", exitCode: 141 };
        else throw new PodError("write to standard output", { cause: error });
      }
    }
  }

  private readInput(): void {
    const length = readStdin(this.buffer);
    if (length === undefined) return;
    if (length === 0) {
      this.inputOpen = false;
      if (this.options.tty) this.result = { kind: "detached" }; // a terminal's end is its hang-up
      return this.send({ kind: "stdin-end" });
    }
    const { bytes, detached } = this.detach.push(this.buffer.subarray(0, length));
    if (bytes.length) this.queue(encodeFrame(frameStreams.stdin, bytes));
    if (detached) this.result = { kind: "detached" };
  }

  private passSignals(): void {
    for (let info = readSignal(this.signals); info; info = readSignal(this.signals)) {
      if (info.signal === SIGWINCH) this.sendWindowSize();
      else if (this.options.sigProxy) this.send({ kind: "signal", signal: info.signal });
      else if (ending.includes(info.signal)) this.result = { kind: "exited", exitCode: 128 + info.signal };
      if ([SIGINT, SIGTERM].includes(info.signal) && ++this.asked === 3) {
        writeAll(2, Buffer.from("got 3 SIGTERM/SIGINTs, forcefully exiting\n"));
        this.result = { kind: "exited", exitCode: 1 };
      }
    }
  }

  private sendWindowSize(): void {
    const size = this.options.tty ? getWindowSize(0) : undefined;
    if (size) this.send({ kind: "resize", ...size });
  }

  private send(message: ClientMessage): void {
    this.queue(encodeControl(message));
  }
  private queue(frame: Buffer): void {
    this.pendingInput = this.pendingInput ? Buffer.concat([this.pendingInput, frame]) : frame;
    this.flushInput();
  }
  private flushInput(): void {
    try {
      while (this.pendingInput) {
        const written = writeFrom(this.fd, this.pendingInput);
        if (written === undefined) return;
        this.pendingInput = written < this.pendingInput.length ? this.pendingInput.subarray(written) : undefined;
      }
    } catch {
      this.pendingInput = undefined; // the monitor has gone: reading from it says so
      this.inputOpen = false;
    }
  }
}

/** This process's own input: 0 at its end, undefined where there is none yet. */
export function readStdin(buffer: Uint8Array): number | undefined {
  try {
    return readInto(0, buffer);
  } catch {
    return 0; // EIO, EBADF: the terminal is gone, or stdin was closed
  }
}

/** Finds the detach keys in what is typed; a sequence that breaks off goes through after all. */
export class DetachScanner {
  private matched = 0;

  constructor(private readonly keys: number[]) {}

  push(input: Uint8Array): { bytes: Uint8Array; detached: boolean } {
    if (this.keys.length === 0) return { bytes: input.slice(), detached: false };
    const bytes: number[] = [];
    for (const byte of input) {
      if (byte === this.keys[this.matched]) {
        if (++this.matched === this.keys.length) return { bytes: Uint8Array.from(bytes), detached: true };
        continue;
      }
      bytes.push(...this.keys.slice(0, this.matched));
      this.matched = byte === this.keys[0] ? 1 : 0;
      if (this.matched === 0) bytes.push(byte);
    }
    return { bytes: Uint8Array.from(bytes), detached: false };
  }
}

/** `ctrl-p,ctrl-q` → [16, 17]: letters, ctrl-a to ctrl-z, ctrl-@ [ ] \ ^ _. Throws PodError on anything else. */
export function parseDetachKeys(text: string): number[] {
  return text
    .split(",")
    .filter(Boolean)
    .map((key) => {
      if (key.length === 1) return key.charCodeAt(0);
      const control = /^ctrl-([a-z@[\]\\^_])$/i.exec(key)?.[1];
      if (!control) throw new PodError(`invalid detach keys (${text}) provided`);
      return control.toUpperCase().charCodeAt(0) & 0x1f;
    });
}

function toError(message: Extract<MonitorMessage, { kind: "failed" }>): PodError {
  return Object.assign(new PodError(message.message, { hint: message.hint }), { exitCode: message.exitCode ?? 125 });
}

/** Has the container's monitor do it. Throws what it answers where it can't. */
export function askMonitor(id: string, message: ClientMessage): void {
  const control = Control.open(id);
  if (!control) throw monitorGone();
  try {
    control.tell(message);
    if (control.await("done") === "gone") throw monitorGone();
  } finally {
    control.close();
  }
}

/** The socket has closed before the container's end was told. */
export function monitorGone(): PodError {
  return new PodError("the container's monitor has ended, and the container with it");
}

/** The failure of a start as an error with Docker's exit code. */
export { toError as failureToError };
