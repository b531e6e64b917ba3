/** The commands' way to the monitor of a running container: a unix socket in the container's folder. */

import { join } from "node:path";
import { hasCode, PodError } from "./errors.ts";
import { type ClientMessage, encodeControl, FrameReader, type MonitorMessage } from "./frames.ts";
import { POLLIN } from "./ns/constants.ts";
import { connectTo, poll, readInto, receiveMessage, writeAll } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { containerDir } from "./storage/containers.ts";

export function controlPath(id: string): string {
  return join(containerDir(id), "control");
}

/** A conversation with a monitor. */
export class Control {
  private readonly reader = new FrameReader();
  private readonly waiting: MonitorMessage[] = [];

  private constructor(readonly fd: number) {}

  /** Undefined where the container does not run. */
  static open(id: string): Control | undefined {
    try {
      return new Control(connectTo(controlPath(id)));
    } catch (error) {
      if (hasCode(error, "ENOENT", "ECONNREFUSED", "ENOTDIR")) return undefined;
      throw error;
    }
  }

  /** False where the monitor has gone. */
  tell(message: ClientMessage): boolean {
    try {
      writeAll(this.fd, encodeControl(message));
      return true;
    } catch (error) {
      if (hasCode(error, "EPIPE", "ECONNRESET")) return false;
      throw error;
    }
  }

  /** The next message of this kind; "gone" where the monitor ends without it, undefined where the time is over. */
  await<K extends MonitorMessage["kind"]>(
    kind: K,
    timeoutMs = -1,
  ): Extract<MonitorMessage, { kind: K }> | "gone" | undefined {
    const deadline = timeoutMs < 0 ? undefined : performance.now() + timeoutMs;
    const buffer = new Uint8Array(65536);
    for (;;) {
      for (let message = this.waiting.shift(); message; message = this.waiting.shift()) {
        if (message.kind === "failed" && kind !== "failed") throw new PodError(message.message, { hint: message.hint });
        if (message.kind === kind) return message as Extract<MonitorMessage, { kind: K }>;
      }
      const rest = deadline === undefined ? -1 : Math.max(0, deadline - performance.now());
      if (!poll([{ fd: this.fd, events: POLLIN }], rest)[0]) {
        if (deadline !== undefined && performance.now() >= deadline) return undefined;
        continue;
      }
      const length = read(this.fd, buffer);
      if (length === 0) return "gone";
      for (const { payload } of this.reader.push(buffer.subarray(0, length))) {
        this.waiting.push(JSON.parse(payload.toString()) as MonitorMessage);
      }
    }
  }

  /** The descriptors of the answer to "namespaces"; none where the monitor has gone. Other messages may come before it. */
  receiveDescriptors(): number[] {
    for (;;) {
      const message = receiveMessage(this.fd);
      if (!message || message.bytes.length === 0 || message.fds.length > 0) return message?.fds ?? [];
    }
  }

  close(): void {
    close(this.fd);
  }
}

function read(fd: number, buffer: Uint8Array): number {
  try {
    return readInto(fd, buffer) ?? 0;
  } catch (error) {
    if (hasCode(error, "ECONNRESET")) return 0;
    throw error;
  }
}
