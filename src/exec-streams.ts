/** The streams of an `exec`: between this process's own and those of the program, in one poll(2) loop. */

import { DetachScanner, readStdin } from "./attach.ts";
import { hasCode } from "./errors.ts";
import { POLLIN, POLLOUT } from "./ns/constants.ts";
import { poll, readInto, readSignal, setNonBlocking, signalFd, writeAll, writeFrom } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { pidfdOpen, waitPid } from "./ns/sys/process.ts";
import {
  getTerminalAttributes,
  getWindowSize,
  setTerminalAttributes,
  setWindowSize,
  toRaw,
} from "./ns/sys/terminal.ts";
import { SIGWINCH } from "./signals.ts";

export interface ExecStreams {
  /** The program's input. */
  stdin?: number;
  outputs: { from: number; to: number }[];
  /** The master of its terminal, which is all three. */
  terminal?: number;
}

const ending = [1, 2, 3, 15];

/**
 * Carries bytes until the process `pid` has ended, and returns its exit code; 0 after the detach keys. A signal that would
 * end this process does so, with the terminal as it was; the program goes on, as in Docker.
 */
export function carry(
  pid: number,
  streams: ExecStreams,
  options: { tty: boolean; interactive: boolean; detachKeys: number[] },
): number {
  const terminal = options.tty && options.interactive ? getTerminalAttributes(0) : undefined;
  if (terminal) setTerminalAttributes(0, toRaw(terminal));
  try {
    return new Carrier(pid, streams, options).run();
  } finally {
    if (terminal) setTerminalAttributes(0, terminal);
  }
}

class Carrier {
  private readonly signals = signalFd([...ending, SIGWINCH]);
  private readonly pidfd: number;
  private readonly detach: DetachScanner;
  private readonly input: number | undefined;
  private outputs: { from: number; to: number }[];
  private inputOpen: boolean;
  private pending: Uint8Array = new Uint8Array(0);
  private result: number | undefined;
  private readonly buffer = new Uint8Array(65536);

  constructor(
    private readonly pid: number,
    private readonly streams: ExecStreams,
    options: { tty: boolean; interactive: boolean; detachKeys: number[] },
  ) {
    const { terminal } = streams;
    this.pidfd = pidfdOpen(pid);
    this.detach = new DetachScanner(options.tty ? options.detachKeys : []);
    this.input = terminal ?? streams.stdin;
    this.outputs = terminal === undefined ? streams.outputs : [{ from: terminal, to: 1 }];
    this.inputOpen = options.interactive;
    for (const fd of [this.input, ...this.outputs.map(({ from }) => from)]) {
      if (fd !== undefined) setNonBlocking(fd, true);
    }
  }

  run(): number {
    while (this.result === undefined) {
      const actions: { fd: number; events: number; action: () => void }[] = [
        { fd: this.signals, events: POLLIN, action: () => this.takeSignals() },
        ...this.outputs.map((output) => ({ fd: output.from, events: POLLIN, action: () => void this.print(output) })),
        { fd: this.pidfd, events: POLLIN, action: () => this.finish() },
      ];
      if (this.inputOpen && this.pending.length === 0) {
        actions.push({ fd: 0, events: POLLIN, action: () => this.readInput() });
      }
      if (this.pending.length) actions.push({ fd: this.input!, events: POLLOUT, action: () => this.writeInput() });
      const events = poll(actions, -1);
      actions.forEach(({ action }, index) => {
        if (events[index] && this.result === undefined) action();
      });
    }
    return this.result;
  }

  private takeSignals(): void {
    for (let info = readSignal(this.signals); info; info = readSignal(this.signals)) {
      const size = info.signal === SIGWINCH ? getWindowSize(0) : undefined;
      if (info.signal !== SIGWINCH) this.result = 128 + info.signal;
      else if (size && this.streams.terminal !== undefined) setWindowSize(this.streams.terminal, size);
    }
  }

  /** Prints what is there; false where that is nothing, for now or for ever. */
  private print(output: { from: number; to: number }): boolean {
    let length: number | undefined;
    try {
      length = readInto(output.from, this.buffer);
    } catch (error) {
      if (!hasCode(error, "EIO")) throw error; // a terminal that nobody has open
      length = 0;
    }
    if (length === 0) this.outputs = this.outputs.filter((other) => other !== output);
    if (!length) return false;
    try {
      writeAll(output.to, this.buffer.subarray(0, length));
    } catch (error) {
      if (!hasCode(error, "EPIPE")) throw error;
      this.result = 141; // as SIGPIPE would
    }
    return this.result === undefined;
  }

  /** The program has ended: what it wrote is in the pipes, which others of the container may still hold open. */
  private finish(): void {
    for (const output of this.outputs) while (this.print(output));
    this.result ??= waitPid(this.pid, true)!.code;
  }

  private readInput(): void {
    const length = readStdin(this.buffer);
    if (length === undefined) return;
    if (length === 0) {
      this.inputOpen = false;
      if (this.streams.stdin !== undefined) close(this.streams.stdin);
      return;
    }
    const { bytes, detached } = this.detach.push(this.buffer.subarray(0, length));
    this.pending = bytes;
    if (detached) this.result = 0;
    this.writeInput();
  }

  private writeInput(): void {
    try {
      while (this.pending.length) {
        const written = writeFrom(this.input!, this.pending);
        if (written === undefined) return;
        this.pending = this.pending.subarray(written);
      }
    } catch (error) {
      if (!hasCode(error, "EPIPE", "EIO")) throw error;
      this.pending = new Uint8Array(0); // the program has closed its input
      this.inputOpen = false;
    }
  }
}
