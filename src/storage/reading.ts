/** Files and descriptors as streams of chunks: each chunk a buffer of its own, which stays as it is. */

import { closeSync, openSync, read, readSync } from "node:fs";
import { hasCode } from "../errors.ts";

const chunkBytes = 256 << 10;

/** A file's bytes from the first; `newPath`: what it may be called by now. */
export async function* readFile(path: string, newPath?: string): AsyncGenerator<Buffer> {
  const fd = openRenamed(path, newPath);
  try {
    yield* readDescriptor(fd);
  } finally {
    closeSync(fd);
  }
}

function openRenamed(path: string, newPath: string | undefined): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (newPath === undefined || !hasCode(error, "ENOENT")) throw error;
    return openSync(newPath, "r");
  }
}

/** A file's first bytes: as many as tell how it is compressed. */
export function readHead(path: string): Buffer {
  const fd = openSync(path, "r");
  try {
    const head = Buffer.alloc(4);
    return head.subarray(0, readSync(fd, head));
  } finally {
    closeSync(fd);
  }
}

/** What a descriptor gives until its end; reads wait on another thread. */
export async function* readDescriptor(fd: number): AsyncGenerator<Buffer> {
  for (;;) {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    const length = await new Promise<number>((resolve, reject) => {
      read(fd, buffer, 0, buffer.length, null, (error, count) => (error ? reject(error) : resolve(count)));
    });
    if (length === 0) return;
    yield buffer.subarray(0, length);
  }
}
