/** Images: `index.json` of the image layout lists their manifests, by name or without one. Reading takes no lock. */

import { ConflictError, hasCode, NotFoundError, UsageError } from "../errors.ts";
import { formatReference, parseReference, type Reference, withDefaultTag } from "../reference.ts";
import { meaningsOf } from "../short-names.ts";
import { type Descriptor, type ImageConfig, type Index, type Manifest, mediaTypes, type Platform } from "../spec.ts";
import { readJsonBlob } from "./blobs.ts";
import { readJson, withLock, withReserve, writeJson } from "./files.ts";
import { chainIds, readLayer } from "./layers.ts";
import { paths } from "./store.ts";

export { collectGarbage } from "./garbage.ts";
export { holdLease } from "./leases.ts";

export interface Image {
  /** Digest of the config. */
  id: string;
  /** Digest of the manifest. */
  digest: string;
  /** In full: `docker.io/library/alpine:latest`. None for an image that lost its name. */
  references: string[];
  manifest: Manifest;
  config: ImageConfig;
  platform: Platform;
  /** Of all files in its layers; of its blobs where a layer was never extracted. */
  sizeBytes: number;
  /** RFC 3339. */
  created?: string;
}

const nameAnnotation = "org.opencontainers.image.ref.name"; // image-spec annotations.md
/** Bytes of all files: kept in the index, so that a list need not look at the layers. */
const sizeAnnotation = "pod.image.size";

/** All images, the newest first. One whose blobs are gone is none, and is left out. */
export function listImages(): Image[] {
  const images = entriesByImage()
    .map(toImage)
    .filter((image) => image !== undefined);
  const times = new Map(images.map((image) => [image, createdMs(image)]));
  // Within a millisecond the text tells more: builders write nanoseconds.
  return images.sort((a, b) => times.get(b)! - times.get(a)! || (a.created! < b.created! ? 1 : -1));
}

/** Milliseconds since 1970; 0 where the image does not say, or no time. */
export function createdMs({ created }: Image): number {
  return (created && Date.parse(created)) || 0;
}

/**
 * The image that `text` names: a reference (with Docker's defaults), one with a digest, or an id or its first hex
 * digits. Undefined where there is none; a ConflictError where the digits fit several.
 */
export function findImage(text: string): Image | undefined {
  const named = findByReference(text);
  if (named) return named;
  const images = listImages();
  const id = /^sha256:([0-9a-f]{64})$/.test(text) ? text : undefined;
  if (id) return images.find((image) => image.id === id) ?? images.find((image) => image.digest === id);
  return findByPrefix(images, text) ?? findByMeaning(text);
}

/** The one of an image's references that `text` names; undefined where it means the image by its id or digest. */
export function nameMeant(references: string[], text: string): string | undefined {
  return namesMeant(text).find((name) => references.includes(name));
}

/**
 * Records an image whose blobs are there. It gets these names, and an older image that has one of them loses it, which
 * then perhaps stays without any. Other annotations of the descriptor are kept.
 */
export function putImage(manifest: Descriptor, ...references: string[]): Image {
  const { digest } = manifest;
  const size = String(sizeOf(readJsonBlob<Manifest>(digest)));
  const { [nameAnnotation]: _, ...others } = manifest.annotations ?? {};
  const entry = { ...manifest, annotations: { ...others, [sizeAnnotation]: size } };
  changeIndex((before) => {
    const manifests = references.reduce(takeName, before);
    const isNamed = manifests.some((known) => known.digest === digest && nameOf(known));
    if (!references.length && isNamed) return manifests;
    const kept = manifests.filter((known) => known.digest !== digest || nameOf(known));
    const named = references.map((name) => ({
      ...entry,
      annotations: { ...entry.annotations, [nameAnnotation]: name },
    }));
    return [...kept, ...(named.length ? named : [entry])];
  });
  const image = listImages().find((candidate) => candidate.digest === digest);
  if (!image) throw new NotFoundError(`image ${digest} is gone: another command removed it`);
  return image;
}

/** Gives an image that is in the index further names. NotFoundError where another command has just removed it. */
export function addNames(image: Image, ...references: string[]): Image {
  const entry = readIndex().manifests.find(({ digest }) => digest === image.digest);
  if (!entry) throw new NotFoundError(`image ${image.digest} is gone: another command removed it`);
  return putImage(entry, ...references);
}

/** Takes a name from its image, which stays, perhaps without any. */
export function removeReference(reference: string): void {
  changeIndex((manifests) => takeName(manifests, reference));
}

/**
 * Takes images with the names that they had from the index; `collectGarbage` removes what only they used. A name that
 * another command has given one meanwhile keeps it.
 */
export function deleteImage(...images: Image[]): void {
  const leaving = new Map(images.map(({ digest, references }) => [digest, references]));
  const stays = (entry: Descriptor) => {
    const name = nameOf(entry);
    const names = leaving.get(entry.digest);
    return !names || (name !== undefined && !names.includes(name));
  };
  changeIndex((manifests) => manifests.filter(stays));
}

/** Without a tag: no name at all, or digests alone. */
export function isDangling({ references }: Image): boolean {
  return references.every((reference) => reference.includes("@"));
}

/** Bytes of the files of each layer, from the lowest up; of its blob where it was never extracted. */
export function layerSizes({ manifest, config }: Pick<Image, "manifest" | "config">): number[] {
  const layers = chainIds(config.rootfs.diff_ids).map(readLayer);
  return manifest.layers.map(({ size }, index) => layers[index]?.sizeBytes ?? size);
}

/** The index as it is on disk; empty where there is none yet. */
export function readIndex(): Index {
  return readJson<Index>(paths.index) ?? { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] };
}

/** Rewrites the list of manifests, alone. `change` is given the present one. */
export function changeIndex(change: (manifests: Descriptor[]) => Descriptor[]): void {
  withLock("index", () => {
    const index = readIndex();
    const manifests = change(index.manifests);
    withReserve(() => writeJson(paths.index, { ...index, manifests }));
  });
}

/** Writes the list anew, whatever is there. */
export function replaceIndex(manifests: Descriptor[]): void {
  withLock("index", () => writeJson(paths.index, { schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
}

/** The index's entries, those of one manifest together. */
function entriesByImage(): Descriptor[][] {
  return [...Map.groupBy(readIndex().manifests, ({ digest }) => digest).values()];
}

function toImage(entries: Descriptor[]): Image | undefined {
  const { digest } = entries[0]!;
  try {
    const manifest = readJsonBlob<Manifest>(digest);
    const config = readJsonBlob<ImageConfig>(manifest.config.digest);
    const { os, architecture, variant } = config;
    const size = entries[0]!.annotations?.[sizeAnnotation];
    return {
      id: manifest.config.digest,
      digest,
      references: entries.map(nameOf).filter((name) => name !== undefined),
      manifest,
      config,
      platform: { os, architecture, ...(variant && { variant }) },
      sizeBytes: size === undefined ? sizeOf(manifest, config) : Number(size),
      created: config.created,
    };
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

function sizeOf(manifest: Manifest, config = readJsonBlob<ImageConfig>(manifest.config.digest)): number {
  return layerSizes({ manifest, config }).reduce((sum, size) => sum + size, 0);
}

/** The name that an entry of the index gives its manifest. */
export function nameOf(entry: Descriptor): string | undefined {
  return entry.annotations?.[nameAnnotation];
}

/** The list in which nobody has this name; whose last it was has an entry without one. */
function takeName(manifests: Descriptor[], reference: string): Descriptor[] {
  const owner = manifests.find((entry) => nameOf(entry) === reference);
  if (!owner) return manifests;
  const rest = manifests.filter((entry) => entry !== owner);
  if (rest.some(({ digest }) => digest === owner.digest)) return rest;
  const { [nameAnnotation]: _, ...annotations } = owner.annotations!;
  return [...rest, { ...owner, annotations }];
}

/** Looks at the names alone: one image is read, however many there are. */
function findByReference(text: string): Image | undefined {
  let wanted: Reference;
  try {
    wanted = withDefaultTag(parseReference(text));
  } catch {
    return undefined; // sha256:… and hex digits alone are no reference
  }
  const images = entriesByImage();
  const full = formatReference(wanted);
  const isOfRepository = new RegExp(
    `^${RegExp.escape(formatReference({ ...wanted, tag: undefined, digest: undefined }))}[:@]`,
  );
  const found =
    images.find((entries) => entries.some((entry) => nameOf(entry) === full)) ??
    images.find(
      ([first, ...others]) =>
        first!.digest === wanted.digest &&
        [first!, ...others].some((entry) => isOfRepository.test(nameOf(entry) ?? "")),
    );
  return found && toImage(found);
}

function findByMeaning(text: string): Image | undefined {
  return namesMeant(text)
    .map(findByReference)
    .find((image) => image !== undefined);
}

/** In full. A short name can mean more than Docker's usual: short-names.ts. */
function namesMeant(text: string): string[] {
  try {
    return [parseReference(text), ...meaningsOf(text)].map((meaning) => formatReference(withDefaultTag(meaning)));
  } catch (error) {
    if (error instanceof UsageError) return []; // no reference at all
    throw error;
  }
}

function findByPrefix(images: Image[], text: string): Image | undefined {
  const digits = text.replace(/^sha256:/, "");
  if (!/^[0-9a-f]{1,64}$/.test(digits)) return undefined;
  const fitting = images.filter(({ id }) => id.startsWith(`sha256:${digits}`));
  const ids = new Set(fitting.map(({ id }) => id));
  if (ids.size > 1)
    throw new ConflictError(`several images have an id that begins with ${digits}: give more digits of it`);
  return fitting[0];
}
