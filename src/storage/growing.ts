/** A file that is read while it grows. */

import { readSync } from "../ns/sys/fs.ts";

const chunkBytes = 512 << 10;

/**
 * The bytes of a file from its first, to where `growth` ends; each number says how many there are now. `fd` is asked for when there are
 * some; `report` learns how many were read. The chunks stay as they are.
 */
export async function* readGrowing(
  growth: AsyncIterable<number>,
  fd: () => number,
  report: (readBytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for await (const availableBytes of growth) {
    while (offset < availableBytes) {
      const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, availableBytes - offset));
      const length = readSync(fd(), buffer, 0, buffer.length, offset);
      offset += length;
      report(offset);
      yield buffer.subarray(0, length);
    }
  }
}
