/** From manifest lists into registries: the images that a list names, wherever they are, and then the list. */

import { PodError } from "./errors.ts";
import { existing } from "./manifest-list.ts";
import { type Destination, openDestination } from "./net/destination.ts";
import { type Document, openRepository, type Repository } from "./net/registry.ts";
import type { Blob } from "./net/upload.ts";
import { parseReference } from "./reference.ts";
import { type Descriptor, type Index, type Manifest, mediaTypes } from "./spec.ts";
import { hasBlob, readBlob } from "./storage/blobs.ts";
import { holdLease } from "./storage/images.ts";
import { storedBlob, uploadBlobs } from "./upload-lanes.ts";

export interface ListPush {
  /** Where it goes, in full, with a tag. */
  target: string;
  /** Whether the images go too; without them the registry must have them. */
  all: boolean;
  /** Told of each image that is there now. */
  pushed(digest: string): void;
  note(text: string): void;
}

/** Where an image is copied from and to. */
interface Route {
  repository?: Repository;
  /** The source's path, where both are in one registry: blobs are mounted from there. */
  mountFrom?: string;
  destination: Destination;
}

/**
 * Pushes the list `name` and returns its digest. Each image keeps its own, since its manifest is copied byte for byte: from the store,
 * or through this machine's memory, in pieces, from the registry that it comes from.
 */
export async function pushList(name: string, { target, all, pushed, note }: ListPush): Promise<string> {
  const { index, sources } = existing(name);
  const reference = parseReference(target);
  const from = [...new Set(Object.values(sources))].map(parseReference);
  const mountable = from.filter(({ domain, path }) => domain === reference.domain && path !== reference.path);
  const destination = openDestination(
    reference,
    mountable.map(({ path }) => path),
    note,
  );
  const lease = holdLease(index.manifests.map(({ digest }) => digest));
  try {
    for (const entry of all ? index.manifests : []) {
      const source = sources[entry.digest] ? parseReference(sources[entry.digest]!) : undefined;
      const repository = source && openRepository(source, note);
      const mountFrom = mountable.find(({ path }) => path === source?.path)?.path;
      await copyManifest(entry, { repository, mountFrom, destination }, (digests) => lease.add(digests));
      pushed(entry.digest);
    }
  } finally {
    lease.release();
  }
  const bytes = Buffer.from(JSON.stringify(index));
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
  await destination.putManifest(bytes, { mediaType: mediaTypes.index, digest, size: bytes.length }, reference.tag!);
  return digest;
}

/** The manifest with its blobs, or the index with all its manifests; then what refers to it. */
async function copyManifest(entry: Descriptor, route: Route, lease: (digests: string[]) => void): Promise<void> {
  const { repository, destination } = route;
  lease([entry.digest]);
  const bytes = hasBlob(entry.digest) ? readBlob(entry.digest) : (await fetchManifest(entry.digest, repository)).bytes;
  const document = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Manifest & Index>;
  for (const child of document.manifests ?? []) await copyManifest(child, route, lease);
  const blobs = [document.config, ...(document.layers ?? [])].filter((blob) => blob !== undefined);
  lease(blobs.map(({ digest }) => digest));
  const unique = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
  await uploadBlobs(
    unique.map((blob) => ({ blob: toBlob(blob, route), tell: () => {} })),
    destination,
  );
  await destination.putManifest(bytes, { ...entry, size: bytes.length }, entry.digest);
  for (const referrer of (await repository?.referrers(entry.digest)) ?? []) await copyManifest(referrer, route, lease);
}

async function fetchManifest(digest: string, repository: Repository | undefined): Promise<Document> {
  if (repository) return await repository.manifest(digest);
  throw new PodError(`the image ${digest} was removed from the store`, { hint: "add it to the list again" });
}

function toBlob(descriptor: Descriptor, { repository, mountFrom }: Route): Blob {
  if (hasBlob(descriptor.digest) || !repository) return storedBlob(descriptor, mountFrom);
  const never = new AbortController().signal; // an upload that is given up stops reading by itself
  return { descriptor, source: mountFrom, read: (offset) => repository.blob(descriptor, offset, never) };
}
