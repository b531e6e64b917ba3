/** The client's side of a running container: its terminal or pipes on one end, the monitor's socket on the other. */

import { PodError } from "./errors.ts";
import {
  type ClientMessage,
  encodeControl,
  encodeFrame,
  FrameReader,
  frameStreams,
  type MonitorMessage,
} from "./frames.ts";
import { POLLIN, POLLOUT } from "./ns/constants.ts";
import { poll, readInto, readSignal, setNonBlocking, signalFd, writeAll, writeFrom } from "./ns/sys/descriptor.ts";
import { getTerminalAttributes, getWindowSize, setTerminalAttributes, toRaw } from "./ns/sys/terminal.ts";
import { proxied, SIGWINCH } from "./signals.ts";

export interface AttachOptions {
  tty: boolean;
  /** Whether this process's stdin goes to the container. */
  interactive: boolean;
  sigProxy: boolean;
  /** Bytes that end the attachment and leave the container running; only with a terminal. */
  detachKeys: number[];
}

export type AttachResult = { kind: "exited"; exitCode: number } | { kind: "detached" };

/** Waits for the monitor's next message, which is not output. Throws where it has gone. */
export function awaitMessage(fd: number, reader: FrameReader): MonitorMessage {
  const buffer = new Uint8Array(65536);
  for (;;) {
    const length = readInto(fd, buffer);
    if (!length) throw monitorGone();
    const frame = reader.push(buffer.subarray(0, length)).find(({ stream }) => stream === frameStreams.control);
    const message = frame && (JSON.parse(frame.payload.toString()) as MonitorMessage);
    if (message?.kind === "note") writeAll(2, Buffer.from(`pod: ${message.text}\n`));
    else if (message) return message;
  }
}

/** Carries bytes, signals and window sizes until the container ends or the user detaches. */
export function attach(fd: number, options: AttachOptions, onStarted: () => void): AttachResult {
  const terminal = options.tty && options.interactive ? getTerminalAttributes(0) : undefined;
  if (terminal) setTerminalAttributes(0, toRaw(terminal));
  try {
    return new Attachment(fd, options, onStarted).run();
  } finally {
    if (terminal) setTerminalAttributes(0, terminal);
  }
}

class Attachment {
  private readonly reader = new FrameReader();
  private readonly signals = signalFd([...proxied, SIGWINCH]);
  private readonly detach: DetachScanner;
  private pendingInput: Buffer | undefined;
  private inputOpen: boolean;
  private outputOpen = true;
  private result: AttachResult | undefined;
  private readonly buffer = new Uint8Array(65536);

  constructor(
    private readonly fd: number,
    private readonly options: AttachOptions,
    private readonly onStarted: () => void,
  ) {
    this.inputOpen = options.interactive;
    this.detach = new DetachScanner(options.tty ? options.detachKeys : []);
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
        -1,
      ) as [number, number, number];
      if (signal) this.passSignals();
      if (socket & POLLOUT) this.flushInput();
      if (socket & ~POLLOUT) this.readMonitor();
      if (input && !this.result) this.readInput();
    }
    return this.result;
  }

  private readMonitor(): void {
    const length = readInto(this.fd, this.buffer);
    if (length === undefined) return;
    if (length === 0) throw monitorGone();
    for (const { stream, payload } of this.reader.push(this.buffer.subarray(0, length))) {
      if (stream !== frameStreams.control) this.writeOutput(stream === frameStreams.stdout ? 1 : 2, payload);
      else this.answer(JSON.parse(payload.toString()) as MonitorMessage);
    }
  }

  private answer(message: MonitorMessage): void {
    if (message.kind === "started") {
      this.onStarted();
      this.sendWindowSize();
    }
    if (message.kind === "note") this.writeOutput(2, Buffer.from(`pod: ${message.text}\n`));
    if (message.kind === "exited") this.result = { kind: "exited", exitCode: message.exitCode };
    if (message.kind === "failed") throw toError(message);
  }

  /** A reader that has gone does not end the container; its output is in the log. */
  private writeOutput(fd: number, bytes: Uint8Array): void {
    if (!this.outputOpen) return;
    try {
      writeAll(fd, bytes);
    } catch {
      this.outputOpen = false;
    }
  }

  private readInput(): void {
    let length: number | undefined = 0;
    try {
      length = readInto(0, this.buffer);
    } catch {
      // EIO, EBADF: the terminal is gone, or stdin was closed: the input's end
    }
    if (length === undefined) return;
    if (length === 0) {
      this.inputOpen = false;
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

/** Finds the detach keys in what is typed; a sequence that breaks off goes through after all. */
export class DetachScanner {
  private matched = 0;

  constructor(private readonly keys: number[]) {}

  push(input: Uint8Array): { bytes: Uint8Array; detached: boolean } {
    if (this.keys.length === 0) return { bytes: Uint8Array.from(input), detached: false };
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

/** The socket has closed before the container's end was told. */
export function monitorGone(): PodError {
  return new PodError("the container's monitor has ended, and the container with it");
}

/** The failure of a start as an error with Docker's exit code. */
export { toError as failureToError };
