/** Stages: copies of this process that make a container, one message channel each. docs/architecture.md draws them. */

import { config } from "../config.ts";
import { anonymousFile, receiveMessage, sendMessage } from "./sys/descriptor.ts";
import { close, statAt } from "./sys/file.ts";
import { readSync } from "./sys/fs.ts";
import { unlessErrno } from "./sys/namespace.ts";

/** Loads a module of pod's own in a copy of the process, which can't wait for `import()`. */
export function load<T>(module: "monitor" | "health-monitor" | "container-mounts" | "ns/init"): T {
  return import.meta.require(config.isCompiled ? `/$bunfs/root/${module}.js` : `../${module}.ts`) as T;
}

/** Sends one message over a packet channel, with descriptors where given. */
export function send(fd: number, message: object, fds: number[] = []): void {
  const bytes = Buffer.from(JSON.stringify(message));
  if (bytes.length <= packetBytes) return sendMessage(fd, bytes, fds);
  const file = anonymousFile("pod-message", bytes);
  try {
    sendMessage(fd, Buffer.from(JSON.stringify({ isInFile: true } satisfies Envelope)), [file, ...fds]);
  } finally {
    close(file);
  }
}

/** A socket takes some 200 KB at most (net.core.wmem_max); a larger message lies in a file whose descriptor comes first. */
const packetBytes = 64 << 10;
interface Envelope {
  isInFile?: true;
}

/** The next message; undefined where the other side is gone. Blocks. */
export function receive<T>(fd: number): { message: T; fds: number[] } | undefined {
  const packet = receivePacket(fd);
  if (!packet) return undefined;
  const message = JSON.parse(packet.bytes.toString()) as T & Envelope;
  if (!message.isInFile) return { message, fds: packet.fds };
  const [file, ...fds] = packet.fds as [number, ...number[]];
  const content = readWhole(file);
  close(file);
  return { message: JSON.parse(content.toString()) as T, fds };
}

function readWhole(file: number): Buffer {
  const bytes = Buffer.alloc(statAt(file, "").size);
  readSync(file, bytes, 0, bytes.length, 0); // from the start: whoever wrote it left the offset at its end
  return bytes;
}

/** The next message's bytes and descriptors; undefined where the other side is gone. Blocks. */
export function receivePacket(fd: number): { bytes: Buffer; fds: number[] } | undefined {
  let packet: ReturnType<typeof receiveMessage>;
  const next = () => {
    packet = receiveMessage(fd, packetBytes);
  };
  // unix(7): a peer that ends with unread messages resets the connection. That is told once, and before what it has sent.
  if (!unlessErrno(["ECONNRESET"], next)) next();
  return packet?.bytes.length ? packet : undefined;
}

/** A failed step, as it travels from a stage to the monitor and the command. */
export interface StageFailure {
  /** What was being done, in the user's words: `mount /proc`. */
  step: string;
  message: string;
  hint?: string;
  /** Docker's exit code where it is not 125: 126 or 127 for the command itself. */
  exitCode?: number;
}
