/** What is in a file, copied into another one. */

import { writeAll } from "../ns/sys/descriptor.ts";
import { ftruncate, seekData, statAt } from "../ns/sys/file.ts";
import { readSync } from "../ns/sys/fs.ts";
import { cloneContent } from "../ns/sys/subvolume.ts";
import { writeAt } from "./files.ts";

const buffer = Buffer.alloc(256 << 10); // stays in the processor's cache

/**
 * Of open files, the second empty. They share their blocks where the file system can do that; else holes stay holes. A file that has
 * no size, as in /proc, is read to its end.
 */
export function copyContent(from: number, to: number): void {
  if (cloneContent(from, to)) return;
  const { size } = statAt(from, "");
  if (size === 0) return copyStream(from, to);
  for (let position = 0; position < size; ) {
    const data = seekData(from, position);
    if (data === undefined) break;
    for (position = data.start; position < data.end; ) {
      const length = readSync(from, buffer, 0, Math.min(buffer.length, data.end - position), position);
      if (length === 0) break; // it was cut meanwhile
      writeAt(to, buffer.subarray(0, length), position);
      position += length;
    }
    if (position < data.end) break;
  }
  ftruncate(to, size);
}

function copyStream(from: number, to: number): void {
  for (let length: number; (length = readSync(from, buffer)) > 0; ) writeAll(to, buffer.subarray(0, length));
}
