/** Stages: further processes of this same program, one message channel each. docs/architecture.md draws them. */

import { config } from "../config.ts";
import { receiveMessage, sendMessage } from "./sys/descriptor.ts";
import { unlessErrno } from "./sys/namespace.ts";

export type StageName = "__monitor" | "__start" | "__init" | "__guard" | "__probe";

/** The channel is the stage's descriptor 3: a unix socket. */
export const channelFd = 3;

/** By its path, so that ps(1) shows its name; as real root by a link that the namespace's root can follow from anywhere. */
const self = config.isHostRoot ? "/proc/self/exe" : process.execPath;

/**
 * Starts a stage with `channel` as its descriptor 3 and `stdio` as 0, 1 and 2 (null is /dev/null). It runs from
 * `executable`, by default this very program. Returns its pid.
 */
export function spawnStage(
  name: StageName,
  channel: number | null,
  options: {
    stdio?: [number | null, number | null, number | null];
    executable?: string;
    args?: string[];
    cwd?: string;
  } = {},
): number {
  const program = config.argv.length > 1 && !config.isCompiled ? config.argv.slice(1, 2) : [];
  const child = Bun.spawn([options.executable ?? self, ...program, name, ...(options.args ?? [])], {
    stdio: [...(options.stdio ?? [null, null, null]), channel] as never,
    env: config.stageEnvironment(),
    cwd: options.cwd ?? "/",
    argv0: "pod",
  });
  child.unref();
  return child.pid;
}

/** Sends one message over a packet channel, with descriptors where given. */
export function send(fd: number, message: object, fds: number[] = []): void {
  sendMessage(fd, Buffer.from(JSON.stringify(message)), fds);
}

/** The next message; undefined where the other side is gone. Blocks. */
export function receive<T>(fd: number): { message: T; fds: number[] } | undefined {
  let packet: ReturnType<typeof receiveMessage>;
  // unix(7): a peer that ends with unread messages resets the connection
  unlessErrno(["ECONNRESET"], () => {
    packet = receiveMessage(fd, 1 << 20);
  });
  if (!packet || packet.bytes.length === 0) return undefined;
  return { message: JSON.parse(packet.bytes.toString()) as T, fds: packet.fds };
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
