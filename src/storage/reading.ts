/** Files and descriptors as streams of chunks: each chunk a buffer of its own, which stays as it is. */

import { closeSync, openSync, read, readSync } from "node:fs";

const chunkBytes = 512 << 10;

/** A file's bytes from the first. */
export async function* readFile(path: string): AsyncGenerator<Buffer> {
  const fd = openSync(path, "r");
  try {
    yield* readDescriptor(fd);
  } finally {
    closeSync(fd);
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
