/** `load`: images out of an archive, or a layout's folder, into the store. All of them, or none. */

import { statSync } from "node:fs";
import { planDocker } from "./archive-docker.ts";
import { planLayout } from "./archive-layout.ts";
import type { PlannedImage } from "./archive-plan.ts";
import { PodError } from "./errors.ts";
import { syncLayersLater } from "./later.ts";
import { extractLayers, type LayerJob } from "./layer-extraction.ts";
import { parsePlatform } from "./platform.ts";
import { familiarName, parseReference } from "./reference.ts";
import type { Platform } from "./spec.ts";
import { adoptBlob, blobPath, hasBlob, putBlob } from "./storage/blobs.ts";
import { recordImageEvent } from "./storage/events.ts";
import { syncFile } from "./storage/files.ts";
import { addNames, collectGarbage, findImage, holdLease, type Image, listImages, putImage } from "./storage/images.ts";
import { extractLayer } from "./storage/layer-making.ts";
import { readDescriptor, readFile } from "./storage/reading.ts";
import { StagedArchive } from "./storage/staging.ts";
import { canRun } from "./storage/used.ts";

export interface LoadedImage {
  id: string;
  /** In full; none where the archive names none. */
  names: string[];
  /** Those of the names that another image had until now. */
  taken: { name: string; id: string }[];
}

/** `path`: an archive, or the folder of an OCI image layout; undefined reads stdin. PodErrors name the archive and what is wrong. */
export async function loadImages(path: string | undefined, options: { platform?: string }): Promise<LoadedImage[]> {
  const wanted = parsePlatform(options.platform);
  const archive = new StagedArchive();
  try {
    if (path && statSync(path).isDirectory()) await archive.readLayout(path);
    else await archive.readArchive(path ? readFile(path) : readDescriptor(0));
    return await keep(planImages(archive, wanted));
  } catch (cause) {
    throw new PodError(`load ${path ?? "stdin"}`, { cause });
  } finally {
    archive.close();
  }
}

/** The images of the archive; of those for several platforms the one for `wanted`. PodErrors say what is missing or wrong. */
function planImages(archive: StagedArchive, wanted: Platform): PlannedImage[] {
  const index = archive.find("index.json"); // with both, as Docker saves today, this one keeps the digests
  const manifest = archive.find("manifest.json");
  if (!index && !manifest) {
    throw new PodError("it is no image archive: it has neither index.json nor manifest.json", {
      hint: "a root file system becomes an image with pod import",
    });
  }
  const images = index ? planLayout(archive, index, wanted) : planDocker(archive, manifest!);
  if (!images.length) throw new PodError("there is no image in it");
  return images;
}

async function keep(images: PlannedImage[]): Promise<LoadedImage[]> {
  const lease = holdLease(
    images.flatMap(({ documents, layers }) => [
      ...documents.map(({ digest }) => digest),
      ...layers.flatMap(({ descriptor, chainId }) => [descriptor.digest, chainId]),
    ]),
  );
  try {
    const layers = images.filter(lacksLayers).flatMap((image) => image.layers);
    const results = await Promise.allSettled([adoptBlobs(layers), extractAll(layers)]);
    for (const result of results) if (result.status === "rejected") throw result.reason;
    const loaded = images.map(record);
    syncLayersLater();
    return loaded;
  } catch (error) {
    lease.release();
    collectGarbage(); // what was there already is in use, or leased
    throw error;
  } finally {
    lease.release();
  }
}

function lacksLayers(image: PlannedImage): boolean {
  const known = isThere(image);
  return !known || !canRun(known);
}

/** The archive's own bytes become blobs, compressed or not, once they are on disk. */
async function adoptBlobs(layers: PlannedImage["layers"]): Promise<void> {
  const byDigest = new Map(layers.map(({ descriptor, path }) => [descriptor.digest, path]));
  const missing = [...byDigest].filter(([digest]) => !hasBlob(digest));
  for (const [digest, path] of missing) {
    await syncFile(path); // one after the other: extraction needs the other threads
    adoptBlob(path, digest);
  }
}

async function extractAll(layers: PlannedImage["layers"]): Promise<void> {
  const known = new Map(layers.map((layer) => [layer.chainId, layer])); // several images may have one
  await extractLayers([...known.values()].map(toJob));
}

function toJob(layer: PlannedImage["layers"][number]): LayerJob {
  const files: LayerJob["files"] = [layer.path, blobPath(layer.blob)];
  return {
    layer,
    size: layer.descriptor.size,
    isWhole: Promise.resolve(true),
    files,
    extract: () => extractLayer(readFile(...files), layer),
    onBytes: () => {},
    onDone: () => {},
  };
}

function record(image: PlannedImage): LoadedImage {
  const { names } = image;
  const id = image.documents[1]!.digest;
  const taken = names.flatMap((name) => {
    const before = findImage(name);
    return before && before.id !== id ? [{ name, id: before.id }] : [];
  });
  const known = isThere(image);
  if (known) addNames(known, ...names);
  else {
    for (const { bytes } of image.documents) putBlob(bytes);
    putImage(image.manifest, ...names);
  }
  recordImageEvent("load", id, names[0] ? familiarName(parseReference(names[0])) : id);
  return { id, names, taken };
}

/** An image without a manifest of its own is the one that has its id. */
function isThere({ isRemade, documents }: PlannedImage): Image | undefined {
  return isRemade ? listImages().find(({ id }) => id === documents[1]!.digest) : undefined;
}
