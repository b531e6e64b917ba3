/** How layers come to be. Apart from layers.ts, since most commands make none. */

import { join } from "node:path";
import { PodError } from "../errors.ts";
import { writeAll } from "../ns/sys/descriptor.ts";
import { closeSync, mkdirSync, openSync, renameSync, rmSync, symlinkSync, writeFileSync } from "../ns/sys/fs.ts";
import { adoptBlob, hasBlob, parseDigest } from "./blobs.ts";
import { decompress } from "./decompress.ts";
import { type Extracted, Extraction } from "./extract.ts";
import { makeTemporaryDir, removeTree, syncStore, withLockAsync } from "./files.ts";
import {
  chainIds,
  hasLayer,
  type LayerPlace,
  type LayerRecord,
  layerDir,
  layerFolder,
  layerHome,
  layerLink,
} from "./layers.ts";
import { paths } from "./store.ts";
import { tarReader } from "./tar.ts";

/**
 * Makes a layer of its archive: gzip, zstd or plain, by its first bytes. It appears whole, synced and with the right
 * diffId, or not at all. One that is there already, or that another process just makes, is not made again: then
 * `source` is not read. The chunks of `source` must stay as they are after they were given. Needs the ids of the
 * user's namespace; runs of one layer wait for each other, so whoever holds other locks takes them before this one.
 */
export async function extractLayer(source: AsyncIterable<Uint8Array>, layer: LayerPlace): Promise<void> {
  if (hasLayer(layer.chainId)) return;
  await withLockAsync(`layer-${layerFolder(layer.chainId)}`, async () => {
    if (hasLayer(layer.chainId)) return;
    const temporary = makeTemporaryDir();
    try {
      const extracted = await unpackLayer(join(temporary, "diff"), source, layer);
      publish(temporary, layer, extracted);
    } catch (error) {
      removeTree(temporary);
      throw new PodError(`extract layer ${layer.diffId}`, { cause: error });
    }
  });
}

/**
 * Makes a new layer, and its blob, of an archive that nobody has described yet: gzip, zstd or plain, kept as it comes.
 * `reserve` is given the digest of the blob and the chainId before these appear: to lease them. Else as `extractLayer`.
 */
export async function makeLayer(
  source: AsyncIterable<Uint8Array>,
  parents: string[],
  reserve: (names: string[]) => void,
): Promise<{ diffId: string; blob: { digest: string; size: number } }> {
  const temporary = makeTemporaryDir();
  const blobFile = join(temporary, "blob");
  try {
    const hasher = new Bun.CryptoHasher("sha256");
    let size = 0;
    const fd = openSync(blobFile, "wx", 0o600);
    const keeping = async function* () {
      for await (const chunk of source) {
        hasher.update(chunk);
        writeAll(fd, chunk);
        size += chunk.length;
        yield chunk;
      }
    };
    const { diffId, extracted } = await extractInto(join(temporary, "diff"), keeping(), parents, "sha256").finally(() =>
      closeSync(fd),
    );
    const digest = `sha256:${hasher.digest("hex")}`;
    const chainId = chainIds([...parents.slice(-1), diffId]).at(-1)!;
    reserve([digest, chainId]);
    await withLockAsync(`layer-${layerFolder(chainId)}`, async () => {
      syncStore();
      if (!hasBlob(digest)) adoptBlob(blobFile, digest);
      rmSync(blobFile, { force: true });
      if (!hasLayer(chainId)) publish(temporary, { diffId, chainId }, extracted);
    });
    return { diffId, blob: { digest, size } };
  } catch (cause) {
    throw new PodError("make a layer", { cause });
  } finally {
    removeTree(temporary);
  }
}

/** Makes the folder `dir` of the archive, which has to have the diffId. */
export async function unpackLayer(
  dir: string,
  source: AsyncIterable<Uint8Array>,
  layer: LayerPlace,
): Promise<Extracted> {
  const { algorithm } = parseDigest(layer.diffId);
  const { diffId, extracted } = await extractInto(dir, source, layer.parents, algorithm);
  if (diffId !== layer.diffId) throw new PodError(`its content has the digest ${diffId}: the layer is refused`);
  return extracted;
}

/** Up to here compiling costs more than it saves, so the policy for short runs that the program starts with stays: scripts/build.ts. */
const shortRunEntries = 1000;

/** Extracts an archive into a new folder; the layers below are `parents`, the lowest first. */
async function extractInto(
  dir: string,
  source: AsyncIterable<Uint8Array>,
  parents: string[],
  algorithm: "sha256" | "sha512",
): Promise<{ diffId: string; extracted: Extracted }> {
  mkdirSync(dir, { mode: 0o700 });
  const hasher = new Bun.CryptoHasher(algorithm);
  const extraction = new Extraction(dir, parents.toReversed().map(layerDir));
  try {
    const reader = tarReader(extraction);
    for await (const chunk of decompress(source)) {
      hasher.update(chunk);
      reader.push(chunk);
      if (extraction.result.entries > shortRunEntries) Bun.unsafe.setJITPolicy?.(1);
    }
    reader.finish();
    extraction.finish();
    return { diffId: `${algorithm}:${hasher.digest("hex")}`, extracted: extraction.result };
  } finally {
    extraction.close();
  }
}

function publish(temporary: string, layer: { diffId: string; chainId: string }, extracted: Extracted): void {
  const record: LayerRecord = { version: 1, diffId: layer.diffId, chainId: layer.chainId, ...extracted };
  writeFileSync(join(temporary, "layer.json"), `${JSON.stringify(record)}\n`); // synced with all the rest
  syncStore();
  const link = join(paths.root, layerLink(layer.chainId));
  rmSync(link, { force: true });
  symlinkSync(`../layers/${layerFolder(layer.chainId)}/diff`, link); // before the layer: none is without its link
  renameSync(temporary, layerHome(layer.chainId));
}
