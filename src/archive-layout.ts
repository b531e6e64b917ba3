/** The images of an OCI image layout (image-spec image-layout.md). */

import { ambiguous, type PlannedImage, parseName } from "./archive-plan.ts";
import { type Document, isIndex, parseConfig, parseIndex, parseManifest, toLayers } from "./documents.ts";
import { PodError } from "./errors.ts";
import { choosePlatform } from "./platform.ts";
import type { Descriptor, Platform } from "./spec.ts";
import type { StagedArchive, StagedFile } from "./storage/staging.ts";

/** containerd's, and podman's reading of the image spec's; each in full where the program knew it. */
const nameAnnotations = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/** `indexFile` is its index.json; of an image for several platforms the one for `wanted` is taken. PodErrors say what is missing or wrong. */
export function planLayout(archive: StagedArchive, indexFile: StagedFile, wanted: Platform): PlannedImage[] {
  const index = parseIndex(archive.readDocument(indexFile));
  const byName = Map.groupBy(index.manifests, (entry) => nameOf(entry) ?? entry.digest);
  const chosen = [...byName].map(([name, entries]) => chooseEntry(name, entries, wanted));
  const byDigest = Map.groupBy(chosen, ({ digest }) => digest);
  return [...byDigest.values()].map((entries) => {
    const names = entries.flatMap((entry) => nameOf(entry) ?? []);
    return { ...planManifest(archive, entries[0]!, wanted), names };
  });
}

/** One name may have an image for each platform, and no more. */
function chooseEntry(name: string, entries: Descriptor[], wanted: Platform): Descriptor {
  const digests = [...new Set(entries.map(({ digest }) => digest))];
  if (digests.length === 1) return entries[0]!;
  const platforms = new Set(entries.map(({ platform }) => JSON.stringify(platform)));
  if (platforms.size < digests.length) throw ambiguous(name, digests);
  return choosePlatform({ schemaVersion: 2, manifests: entries }, wanted);
}

function nameOf({ annotations }: Descriptor): string | undefined {
  const name = nameAnnotations.map((key) => annotations?.[key]).find((value) => value?.match(/[:/]/)); // a tag alone names nothing
  return name && parseName(name);
}

function planManifest(archive: StagedArchive, top: Descriptor, wanted: Platform): Omit<PlannedImage, "names"> {
  let descriptor = top;
  for (let depth = 0; isIndex(descriptor); depth++) {
    if (depth === 3) throw new PodError(`index ${top.digest} holds indexes more than 3 deep`);
    const { digest, size, mediaType } = choosePlatform(parseIndex(readBlob(archive, descriptor)), wanted);
    descriptor = { digest, size, mediaType };
  }
  const document = readBlob(archive, descriptor);
  const manifest = parseManifest(document);
  const configDocument = readBlob(archive, manifest.config);
  const config = parseConfig(configDocument, manifest.layers.length);
  const layers = toLayers(manifest, config).map((layer) => ({
    ...layer,
    path: findBlob(archive, layer.descriptor).path,
  }));
  const { mediaType, digest, size } = descriptor;
  return {
    manifest: { mediaType, digest, size },
    documents: [document, configDocument],
    config,
    layers,
    isRemade: false,
  };
}

function readBlob(archive: StagedArchive, descriptor: Descriptor): Document {
  return archive.readDocument(findBlob(archive, descriptor));
}

function findBlob(archive: StagedArchive, { digest, size }: Descriptor): StagedFile {
  const file = archive.find(`blobs/${digest.replace(":", "/")}`);
  if (!file) throw new PodError(`it lacks the blob ${digest}`);
  if (file.digest !== digest) throw new PodError(`blob ${digest} is damaged: its bytes have the digest ${file.digest}`);
  if (file.size !== size) throw new PodError(`blob ${digest} has ${file.size} bytes, not the ${size} it should have`);
  return file;
}
