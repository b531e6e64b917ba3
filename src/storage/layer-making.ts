/** How layers come to be. Apart from layers.ts, since most commands make none. */

import { join } from "node:path";
import { PodError } from "../errors.ts";
import { writeAll } from "../ns/sys/descriptor.ts";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "../ns/sys/fs.ts";
import { adoptBlob, hasBlob, parseDigest } from "./blobs.ts";
import { decompress } from "./decompress.ts";
import { type Extracted, Extraction } from "./extract.ts";
import { makeTemporaryDir, removeTree, withLockAsync } from "./files.ts";
import {
  brokenLayers,
  chainIds,
  hasLayer,
  type LayerPlace,
  type LayerRecord,
  type LayerSource,
  layerDir,
  layerFolder,
  layerHome,
  layerLink,
  unsyncedRecord,
} from "./layers.ts";
import { LowerLayers } from "./lower.ts";
import { paths } from "./store.ts";
import { tarReader } from "./tar.ts";

/**
 * Makes a layer of its archive: gzip, zstd or plain, by its first bytes. It appears whole and with the right diffId, or
 * not at all; it outlives a power cut once it is synced (layer-sync.ts), and is made again of `blob` otherwise, so that
 * this one is to be kept and synced. One that is there already, or that another process just makes, is not made again:
 * then `source` is not read. The chunks of `source` must stay as they are after they were given. Needs the ids of the
 * user's namespace; runs of one layer wait for each other, so whoever holds other locks takes them before this one.
 * Where the layers below are only just made, `awaitLower` returns when they are there.
 */
export async function extractLayer(
  source: AsyncIterable<Uint8Array>,
  layer: LayerSource,
  awaitLower?: () => void,
): Promise<void> {
  if (hasLayer(layer.chainId)) return;
  await withLayerLock(layer.chainId, async () => {
    if (hasLayer(layer.chainId)) return;
    discard(layer.chainId);
    const temporary = makeTemporaryDir();
    try {
      const extracted = await unpackLayer(join(temporary, "diff"), source, layer, awaitLower);
      publish(temporary, layer, extracted);
    } catch (error) {
      removeTree(temporary);
      throw new PodError(`extract layer ${layer.diffId}`, { cause: error });
    }
  });
}

const lookEveryMs = 2;

/** Blocks until these layers are there: other processes make them. */
export function awaitLayers(chainIds: string[]): void {
  for (const chainId of chainIds) while (!hasLayer(chainId)) Bun.sleepSync(lookEveryMs);
}

/** Removes the folders of layers that are not whole. */
export async function discardBroken(): Promise<void> {
  for (const chainId of brokenLayers()) {
    await withLayerLock(chainId, async () => {
      if (!hasLayer(chainId)) discard(chainId);
    });
  }
}

/** By a rename first, so that none is half deleted. Under the layer's lock. */
function discard(chainId: string): void {
  if (!existsSync(layerHome(chainId))) return;
  const doomed = makeTemporaryDir();
  renameSync(layerHome(chainId), join(doomed, "layer"));
  removeTree(doomed);
}

function withLayerLock(chainId: string, action: () => Promise<void>): Promise<void> {
  return withLockAsync(`layer-${layerFolder(chainId)}`, action);
}

/**
 * Makes a new layer, and its blob, of an archive that nobody has described yet: gzip, zstd or plain, kept as it comes.
 * `reserve` is given the digest of the blob and the chainId before these appear: to lease them. The blob is synced. Else
 * as `extractLayer`.
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
    const { diffId, extracted } = await extractInto(join(temporary, "diff"), keeping(), parents, "sha256")
      .finally(() => fsyncSync(fd))
      .finally(() => closeSync(fd));
    const digest = `sha256:${hasher.digest("hex")}`;
    const chainId = chainIds([...parents.slice(-1), diffId]).at(-1)!;
    reserve([digest, chainId]);
    await withLayerLock(chainId, async () => {
      if (!hasBlob(digest)) adoptBlob(blobFile, digest);
      rmSync(blobFile, { force: true });
      if (hasLayer(chainId)) return;
      discard(chainId);
      publish(temporary, { diffId, chainId, blob: digest }, extracted);
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
  awaitLower?: () => void,
): Promise<Extracted> {
  const { algorithm } = parseDigest(layer.diffId);
  const { diffId, extracted } = await extractInto(dir, source, layer.parents, algorithm, awaitLower);
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
  awaitLower?: () => void,
): Promise<{ diffId: string; extracted: Extracted }> {
  mkdirSync(dir, { mode: 0o700 });
  const hasher = new Bun.CryptoHasher(algorithm);
  const extraction = new Extraction(dir, new LowerLayers(parents.toReversed().map(layerDir), awaitLower));
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

function publish(
  temporary: string,
  { diffId, chainId, blob }: Omit<LayerSource, "parents">,
  extracted: Extracted,
): void {
  const record: LayerRecord = { version: 1, diffId, chainId, blob, ...extracted };
  writeFileSync(join(temporary, unsyncedRecord()), `${JSON.stringify(record)}\n`);
  const link = join(paths.root, layerLink(chainId));
  rmSync(link, { force: true });
  symlinkSync(`../layers/${layerFolder(chainId)}/diff`, link); // before the layer: none is without its link
  renameSync(temporary, layerHome(chainId));
}
