/**
 * What a monitor and its clients say to each other over a stream socket: frames of an 8-byte header (stream, three
 * zero bytes, length as big-endian u32) and the payload. It is Docker's stdcopy header, with one more stream for JSON;
 * its streams 1 and 2, the output, are not sent: clients read that in the log.
 */

import type { PortBinding } from "./storage/containers.ts";

export const frameStreams = { stdin: 0, control: 3 } as const;
const headerBytes = 8;
/** A longer frame than any that pod sends: the other side is not pod. */
const maxPayloadBytes = 1 << 24;

export interface Frame {
  stream: number;
  payload: Buffer;
}

export function encodeFrame(stream: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + payload.length);
  frame.writeUInt32BE(stream << 24, 0);
  frame.writeUInt32BE(payload.length, 4);
  frame.set(payload, headerBytes);
  return frame;
}

export function encodeControl(message: object): Buffer {
  return encodeFrame(frameStreams.control, Buffer.from(JSON.stringify(message)));
}

/** Puts frames together from what arrives. */
export class FrameReader {
  private pending = Buffer.alloc(0);

  /** The frames that are complete with these bytes. */
  push(bytes: Uint8Array): Frame[] {
    this.pending = this.pending.length ? Buffer.concat([this.pending, bytes]) : Buffer.from(bytes);
    const frames: Frame[] = [];
    while (this.pending.length >= headerBytes) {
      const length = this.pending.readUInt32BE(4);
      if (length > maxPayloadBytes) throw new Error(`a frame of ${length} bytes`);
      if (this.pending.length < headerBytes + length) break;
      frames.push({ stream: this.pending[0]!, payload: this.pending.subarray(headerBytes, headerBytes + length) });
      this.pending = this.pending.subarray(headerBytes + length);
    }
    return frames;
  }
}

/** Client → monitor. */
export type ClientMessage =
  /** The first one: run this container. */
  | { kind: "launch"; id: string; windowSize?: { rows: number; columns: number } }
  | { kind: "resize"; rows: number; columns: number }
  | { kind: "signal"; signal: number }
  | { kind: "stdin-end" }
  /** How far it has read the log. `wantsMore`: it waits for what comes after that. */
  | { kind: "read"; position: number; wantsMore: boolean }
  /** From here on also in conversations that come later, over the container's socket. */
  | { kind: "attach" }
  /** A signal after which no restart policy applies: `stop`, and `kill` of the whole. */
  | { kind: "stop"; signal: number }
  | { kind: "pause" }
  | { kind: "unpause" }
  /** A pause that lasts as long as this conversation. */
  | { kind: "hold" }
  /** Of its record. */
  | { kind: "changed"; fields: object }
  /** Into this network, as one of its members: an `Endpoint`. */
  | {
      kind: "connect";
      endpoint: { network: string; address?: string; address6?: string; mac?: string; aliases: string[] };
    }
  | { kind: "disconnect"; network: string }
  /** Of its ports: each a `PortBinding`. What is removed is as its record has it. */
  | { kind: "publish"; remove: PortBinding[]; add: PortBinding[] }
  /** Ways out that could not be started again are tried once more. */
  | { kind: "reload-networks" }
  /** Asks for descriptors of the container's namespaces. `stays`: another container shares its network. */
  | { kind: "namespaces"; stays?: boolean };

/** Monitor → client. */
export type MonitorMessage =
  | { kind: "started"; pid: number }
  /** To who waits for more of the log: it is there. */
  | { kind: "logged" }
  /** The answer to what changes something. `bySignal`: SIGSTOP, or SIGCONT, was needed for a pause. */
  | { kind: "done"; bySignal?: boolean }
  /** Something to tell the user that is no failure. */
  | { kind: "note"; text: string }
  | { kind: "failed"; message: string; hint?: string; exitCode?: number }
  /** `error`: its output is not whole. */
  | { kind: "exited"; exitCode: number; error?: string };
