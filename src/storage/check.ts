/** Whether the store is true: every digest, and every reference from the index down to the files of layers and containers. */

import { createReadStream, existsSync, readdirSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { formatError } from "../errors.ts";
import { type Descriptor, type Manifest, mediaTypes } from "../spec.ts";
import { blobPath, deleteBlob, hasBlob, readBlob } from "./blobs.ts";
import { checkImage } from "./checkimage.ts";
import type { LayerState } from "./checklayer.ts";
import { checkVolume } from "./checkvolume.ts";
import { volumesOf } from "./container-mount.ts";
import { type Container, containerDir, readContainer, readName } from "./containers.ts";
import { readIndex, replaceIndex } from "./images.ts";
import { hasLayer } from "./layers.ts";
import { holdLease } from "./leases.ts";
import { paths } from "./store.ts";
import { namesInStore } from "./used.ts";
import { volumeDir } from "./volumes.ts";

export interface Problem {
  /** `image alpine:latest`, `layer sha256:…`, `container web`. */
  object: string;
  fault: string;
  /** What the user can do about it. */
  remedy: string;
  /** Does it, where pod can do it alone, and says what was done. */
  mend?: () => Promise<string> | string;
}

/** Told of each problem when it is found: what it mends is whole when the walk goes on. */
export type Report = (problem: Problem) => Promise<void>;

/** Says how many of each there are. Nothing is collected meanwhile; what other commands bring is not looked at. */
export async function checkStore(
  report: Report,
): Promise<{ images: number; layers: number; containers: number; volumes: number }> {
  let names: string[] = [];
  const lease = holdLease(() => {
    names = [...namesInStore(), ...indexedDigests()];
    return names;
  });
  try {
    const damaged = await checkBlobs(report);
    const known = new Set(names);
    const images = (await readImages(report)).filter(([entry]) => known.has(entry!.digest));
    const layers = new Map<string, LayerState>();
    for (const entries of images) await checkImage(entries, damaged, layers, report);
    const containers = readdirSync(paths.containers);
    for (const id of containers) await checkContainer(id, report);
    const volumes = readdirSync(paths.volumes);
    for (const name of volumes) await checkVolume(name, report);
    return { images: images.length, layers: layers.size, containers: containers.length, volumes: volumes.length };
  } finally {
    lease.release();
  }
}

function indexedDigests(): string[] {
  try {
    return readIndex().manifests.map(({ digest }) => digest);
  } catch {
    return []; // readImages reports it
  }
}

/** Used or not: a pull takes what is there as given. Returns those whose bytes are not what their name says. */
async function checkBlobs(report: Report): Promise<Set<string>> {
  const damaged = new Set<string>();
  for (const algorithm of readdirSync(paths.blobs) as "sha256"[]) {
    for (const hex of readdirSync(join(paths.blobs, algorithm))) {
      const hasher = new Bun.CryptoHasher(algorithm);
      const path = join(paths.blobs, algorithm, hex);
      for await (const chunk of createReadStream(path, { highWaterMark: 1 << 19 })) hasher.update(chunk as Buffer);
      const found = hasher.digest("hex");
      if (found === hex) continue;
      const digest = `${algorithm}:${hex}`;
      damaged.add(digest);
      await report({
        object: `blob ${digest}`,
        fault: `its bytes have the digest ${algorithm}:${found}`,
        remedy: "`pod system check --repair` removes it, and says which images need it",
        mend: () => {
          deleteBlob(digest);
          return "removed";
        },
      });
    }
  }
  return damaged;
}

/** The index's entries, those of one manifest together. */
async function readImages(report: Report): Promise<Descriptor[][]> {
  try {
    readIndex();
  } catch (error) {
    await report({
      object: "index.json",
      fault: formatError(error),
      remedy: "`pod system check --repair` makes it again from the manifests that are there; names are lost",
      mend: () => {
        const found = findManifests();
        replaceIndex(found);
        return `made again, with ${found.length} images that have lost their names`;
      },
    });
  }
  try {
    return [...Map.groupBy(readIndex().manifests, ({ digest }) => digest).values()];
  } catch {
    return []; // reported above
  }
}

/** The manifests among the blobs: small JSON files that name a config which is there. */
function findManifests(): Descriptor[] {
  return namesInStore().flatMap((digest): Descriptor[] => {
    if (!hasBlob(digest) || statSync(blobPath(digest)).size > manifestMaximum) return [];
    try {
      const bytes = readBlob(digest);
      const { mediaType = mediaTypes.manifest, config, layers }: Manifest = JSON.parse(bytes.toString());
      return Array.isArray(layers) && hasBlob(config.digest) ? [{ mediaType, digest, size: bytes.length }] : [];
    } catch {
      return []; // a layer, or a config
    }
  });
}

const manifestMaximum = 4 << 20; // distribution-spec: what registries take

async function checkContainer(id: string, report: Report): Promise<void> {
  let container: Container | undefined;
  try {
    container = readContainer(id);
  } catch (error) {
    const remedy = `save what you need from ${containerDir(id)}/upper, then \`pod rm ${id.slice(0, 12)}\``;
    return await report({ object: `container ${id.slice(0, 12)}`, fault: formatError(error), remedy });
  }
  if (!container) return; // removed meanwhile
  const { name, image, layers } = container.record;
  const object = `container ${name}`;
  const remedy = `\`pod pull ${image.reference}\` may bring it again; \`pod rm ${name}\` gives it up`;
  const lost = layers.find((chainId) => !hasLayer(chainId));
  const isNamed = readName(name) === id;
  if (!existsSync(containerDir(id))) return; // removed meanwhile
  if (lost) await report({ object, fault: `its layer ${lost} is missing`, remedy });
  if (!hasBlob(image.id)) await report({ object, fault: `its image's config ${image.id} is missing`, remedy });
  for (const volume of volumesOf(container.record)) {
    if (existsSync(volumeDir(volume))) continue;
    const help = `\`pod volume create ${volume}\` makes an empty one; \`pod rm ${name}\` gives the container up`;
    await report({ object, fault: `its volume ${volume} is missing`, remedy: help });
  }
  if (isNamed) return;
  await report({
    object,
    fault: "nobody finds it by its name",
    remedy: "`pod system check --repair` writes the name again",
    mend: () => {
      symlinkSync(id, join(paths.names, name));
      return "the name is written again";
    },
  });
}
