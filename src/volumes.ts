/** What the commands do with volumes besides reading: removal, archives. In the user's namespace. */

import { O_DIRECTORY, O_RDONLY } from "./ns/constants.ts";
import { close, open } from "./ns/sys/file.ts";
import { repairContainers } from "./repair.ts";
import { decompress, decompressByProgram } from "./storage/decompress.ts";
import { packTree } from "./storage/pack.ts";
import { readDescriptor, readFile } from "./storage/reading.ts";
import { unpackStreamInto } from "./storage/unpack.ts";
import { isEmpty, publishFilling, stageFilling, withVolume, withVolumeAsync } from "./storage/volume-fill.ts";
import { deleteVolume, findVolume } from "./storage/volumes.ts";

/** Throws NotFoundError, and ConflictError where a container uses it: not one that was killed, and was to go at its end. */
export function removeVolume(name: string): void {
  repairContainers();
  deleteVolume(name)();
}

/** Writes an archive of the volume's files, which may be in use. Throws NotFoundError. */
export function exportVolume(name: string, write: (bytes: Uint8Array) => void): void {
  findVolume(name);
  const dir = withVolume(name, (dataDir) => dataDir);
  for (const chunk of packTree([dir])) write(chunk);
}

/**
 * Unpacks an archive, compressed or plain, `-` for stdin, into a volume: an empty one gets all of it or nothing, one that has
 * files is unpacked into as tar(1) does.
 */
export async function importVolume(name: string, source: string): Promise<void> {
  findVolume(name);
  const bytes = decompress(decompressByProgram(source === "-" ? readDescriptor(0) : readFile(source)));
  await withVolumeAsync(name, async (dataDir) => {
    if (!isEmpty(dataDir)) return await unpackIntoFolder(dataDir, bytes);
    const staged = stageFilling();
    try {
      await unpackStreamInto(staged.fd, bytes);
      publishFilling(name, staged);
    } finally {
      staged.close();
    }
  });
}

async function unpackIntoFolder(dir: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const fd = open(dir, O_RDONLY | O_DIRECTORY);
  try {
    await unpackStreamInto(fd, bytes);
  } finally {
    close(fd);
  }
}
