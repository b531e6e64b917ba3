/** From the store into a registry: the very bytes that are in the store, layers first and last the manifest that names them. */

import { NotFoundError, UsageError } from "./errors.ts";
import { type Destination, openDestination } from "./net/destination.ts";
import type { PushProgress } from "./progress.ts";
import {
  familiarName,
  familiarRepository,
  formatReference,
  parseReference,
  type Reference,
  withDefaultTag,
} from "./reference.ts";
import { type Manifest, mediaTypes } from "./spec.ts";
import { readBlob } from "./storage/blobs.ts";
import { recordImageEvent } from "./storage/events.ts";
import { holdLease, type Image, listImages, putImage } from "./storage/images.ts";
import { storedBlob, type Upload, uploadBlobs } from "./upload-lanes.ts";

export interface Pushed {
  /** The name with its tag. */
  reference: Reference;
  /** Of the manifest: the same that it was pulled or built with. */
  digest: string;
}

/**
 * Sends the image that `text` names, with `allTags` all of that repository. Errors: UsageError and NotFoundError in Docker's
 * words, RegistryError. An image of which other platforms exist is pushed as the one platform that is here, with its own digest.
 */
export async function push(text: string, options: { allTags: boolean; progress: PushProgress }): Promise<Pushed[]> {
  const { allTags, progress } = options;
  const given = parseReference(text);
  if (given.digest) throw new UsageError("cannot push a digest reference");
  if (allTags && given.tag) throw new UsageError("tag can't be used with --all-tags/-a");
  const wanted = allTags ? given : withDefaultTag(given);
  progress({ kind: "start", reference: wanted, usedDefaultTag: wanted.tag !== given.tag });

  const images = listImages();
  const chosen = images.flatMap((image) => {
    const named = image.references.map(parseReference).filter((name) => isWanted(name, wanted));
    return named.map((reference) => ({ reference, image }));
  });
  if (!chosen.length) {
    const isRepositoryKnown = images.some(({ references }) =>
      references.some((name) => isWanted(parseReference(name), { ...wanted, tag: undefined })),
    );
    if (isRepositoryKnown) throw new NotFoundError(`tag does not exist: ${familiarName(wanted)}`);
    throw new NotFoundError(`An image does not exist locally with the tag: ${familiarRepository(wanted)}`);
  }
  const sources = findSources(chosen, images);
  const note = (words: string) => progress({ kind: "note", text: words });
  const destination = openDestination(wanted, [...new Set(sources.values())], note);
  for (const { image, reference } of chosen) await pushImage(image, reference, destination, sources, progress);
  return chosen.map(({ reference, image }) => ({ reference, digest: image.digest }));
}

function isWanted(name: Reference, { domain, path, tag }: Reference): boolean {
  const isTagged = tag === undefined ? name.tag !== undefined : name.tag === tag;
  return name.domain === domain && name.path === path && isTagged;
}

/** For each blob another repository of the registry that has it: one that it was pulled from or pushed to, as the digest among its names says. */
function findSources(chosen: { image: Image; reference: Reference }[], images: Image[]): Map<string, string> {
  const { domain, path } = chosen[0]!.reference;
  const sources = new Map<string, string>();
  const blobsOf = ({ config, layers }: Manifest) => [config, ...layers].map(({ digest }) => digest);
  const wanted = new Set(chosen.flatMap(({ image }) => blobsOf(image.manifest)));
  for (const { references, manifest } of images) {
    const names = references.map(parseReference).filter((name) => name.digest && name.domain === domain);
    const source = names.find((name) => name.path !== path);
    if (!source || names.some((name) => name.path === path)) continue; // it is there already
    for (const digest of blobsOf(manifest)) if (wanted.has(digest)) sources.set(digest, source.path);
  }
  return sources;
}

async function pushImage(
  image: Image,
  reference: Reference,
  destination: Destination,
  sources: Map<string, string>,
  progress: PushProgress,
): Promise<void> {
  const { manifest } = image;
  const lease = holdLease([image.digest, manifest.config.digest, ...manifest.layers.map(({ digest }) => digest)]);
  try {
    await pushBlobs(image, destination, sources, progress);
    const bytes = readBlob(image.digest);
    const mediaType = manifest.mediaType ?? mediaTypes.manifest;
    const descriptor = { mediaType, digest: image.digest, size: bytes.length };
    await destination.putManifest(bytes, descriptor, reference.tag!);
    const { domain, path } = reference;
    putImage(descriptor, formatReference({ domain, path, digest: image.digest })); // docker images --digests shows it too
    recordImageEvent("push", familiarName(reference), familiarRepository(reference));
    progress({ kind: "done", reference, digest: image.digest, sizeBytes: bytes.length });
    noteIndex(image, progress);
  } finally {
    lease.release();
  }
}

/** The top layer first, as Docker lists them; the configuration is not shown. */
async function pushBlobs(
  { manifest, config }: Image,
  destination: Destination,
  sources: Map<string, string>,
  progress: PushProgress,
): Promise<void> {
  const layers = manifest.layers.map((descriptor, index) => {
    const id = config.rootfs.diff_ids[index]!.replace(/^.*:/, "").slice(0, 12);
    const tell: Upload["tell"] = (status, sizes) => progress({ kind: "layer", id, status, ...sizes });
    return { blob: storedBlob(descriptor, sources.get(descriptor.digest)), tell };
  });
  const unique = [...new Map(layers.map((layer) => [layer.blob.descriptor.digest, layer])).values()].toReversed();
  const configBlob = storedBlob(manifest.config, sources.get(manifest.config.digest));
  await uploadBlobs([...unique, { blob: configBlob, tell: () => {} }], destination);
}

/** Docker's note where the image was pulled from an index: the store holds one platform of it. */
function noteIndex({ references, digest }: Image, progress: PushProgress): void {
  const index = references.map((name) => parseReference(name).digest).find((other) => other && other !== digest);
  if (!index) return;
  progress({
    kind: "note",
    text: `Not all multiplatform-content is present and only the available single-platform image was pushed\n${index} -> ${digest}`,
  });
}
