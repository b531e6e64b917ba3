/**
 * Container logs: `container.log` holds the bytes as they came, `container.log.index` a record for each chunk, which is
 * what one read(2) brought: so a line may span several, and the reader puts lines together per stream. A record has 16
 * bytes, little-endian: nanoseconds since 1970 (u64); where the chunk ends in the log (62 bits), then one bit for stderr,
 * and one that says that the log was cut here: what comes before is gone. Of what was cut off, both files have holes.
 */

import { join } from "node:path";
import { paths } from "./store.ts";

export type LogStream = "stdout" | "stderr";

export interface LogRecord {
  timeNs: bigint;
  /** In bytes from the log's beginning; also where the next chunk begins. */
  end: number;
  stream: LogStream;
  isCut: boolean;
}

export const recordBytes = 16;
const stderrBit = 0x40000000;
const cutBit = 0x80000000;

export function logFile(id: string): string {
  return join(paths.containers, id, "container.log");
}

export function indexFile(id: string): string {
  return `${logFile(id)}.index`;
}

export function encodeRecord({ timeNs, end, stream, isCut }: LogRecord, target: Buffer): Buffer {
  target.writeBigUInt64LE(timeNs, 0);
  target.writeUInt32LE(end % 2 ** 32, 8);
  target.writeUInt32LE(Math.floor(end / 2 ** 32) + (stream === "stderr" ? stderrBit : 0) + (isCut ? cutBit : 0), 12);
  return target;
}

/** Undefined in a hole. */
export function decodeRecord(bytes: Buffer, offset = 0): LogRecord | undefined {
  const timeNs = bytes.readBigUInt64LE(offset);
  if (timeNs === 0n) return undefined;
  const high = bytes.readUInt32LE(offset + 12);
  return {
    timeNs,
    end: (high % stderrBit) * 2 ** 32 + bytes.readUInt32LE(offset + 8),
    stream: high & stderrBit ? "stderr" : "stdout",
    isCut: high >= cutBit,
  };
}
