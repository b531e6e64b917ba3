/** Images: `index.json` of the image layout lists their manifests, by name or without one. Reading takes no lock. */

import { join } from "node:path";
import { ConflictError, hasCode, ImageGoneError, UsageError } from "../errors.ts";
import { readdirSync } from "../ns/sys/fs.ts";
import { formatReference, parseReference, type Reference, withDefaultTag } from "../reference.ts";
import { meaningsOf } from "../short-names.ts";
import { type Descriptor, type ImageConfig, type Index, type Manifest, mediaTypes, type Platform } from "../spec.ts";
import { hasBlob, readJsonBlob } from "./blobs.ts";
import { readJson, syncFolder, withLock, withReserve, writeJson } from "./files.ts";
import { chainIds, readLayer } from "./layers.ts";
import { paths } from "./store.ts";

export { collectGarbage } from "./garbage.ts";
export { holdLease } from "./leases.ts";

/** What a list shows of an image. The index has all of it: nothing else is read. */
export interface ImageSummary {
  /** Digest of the config. */
  id: string;
  /** Digest of the manifest. */
  digest: string;
  /** In full: `docker.io/library/alpine:latest`. None for an image that lost its name. */
  references: string[];
  /** Of all files in its layers; of its blobs where a layer was never extracted. */
  sizeBytes: number;
  /** RFC 3339. */
  created?: string;
}

export interface Image extends ImageSummary {
  manifest: Manifest;
  config: ImageConfig;
  platform: Platform;
}

const nameAnnotation = "org.opencontainers.image.ref.name"; // image-spec annotations.md
const createdAnnotation = "org.opencontainers.image.created";
const idAnnotation = "pod.image.id";
const sizeAnnotation = "pod.image.size";

/** All images, the newest first. One whose blobs are gone is none, and is left out. */
export function listImages(): Image[] {
  return listSummaries()
    .map(toImage)
    .filter((image) => image !== undefined);
}

/** The same without their manifests and configs. */
export function listSummaries(): ImageSummary[] {
  const images = entriesByImage()
    .map(toSummary)
    .filter((image) => image !== undefined);
  const times = new Map(images.map((image) => [image, createdMs(image)]));
  // Within a millisecond the text tells more: builders write nanoseconds.
  return images.sort((a, b) => times.get(b)! - times.get(a)! || (a.created! < b.created! ? 1 : -1));
}

/** Milliseconds since 1970; 0 where the image does not say, or no time. */
export function createdMs({ created }: ImageSummary): number {
  return (created && Date.parse(created)) || 0;
}

/**
 * The image that `text` names: a reference (with Docker's defaults), one with a digest, or an id or its first hex
 * digits. Undefined where there is none; a ConflictError where the digits fit several.
 */
export function findImage(text: string): Image | undefined {
  const named = findByReference(text);
  if (named) return named;
  const images = listSummaries();
  const id = /^sha256:([0-9a-f]{64})$/.test(text) ? text : undefined;
  const found = id
    ? (images.find((image) => image.id === id) ?? images.find((image) => image.digest === id))
    : findByPrefix(images, text);
  if (found) return toImage(found);
  return id ? undefined : findByMeaning(text);
}

/** The one of an image's references that `text` names; undefined where it means the image by its id or digest. */
export function nameMeant(references: string[], text: string): string | undefined {
  return namesMeant(text).find((name) => references.includes(name));
}

/**
 * Records an image whose blobs are there, and synced; a power cut can't take it away afterwards. It gets these names, and
 * an older image that has one of them loses it, which then perhaps stays without any. Other annotations of the descriptor
 * are kept.
 */
export function putImage(manifest: Descriptor, ...references: string[]): Image {
  const { digest } = manifest;
  const { [nameAnnotation]: _, ...others } = manifest.annotations ?? {};
  const entry = { ...manifest, annotations: { ...others, ...summarize(digest) } };
  for (const algorithm of readdirSync(paths.blobs)) syncFolder(join(paths.blobs, algorithm));
  const after = changeIndex((before) => {
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
  syncFolder(paths.root);
  const entries = after.filter((known) => known.digest === digest); // though another command removes it right now
  const image = entries.length ? imageOf(entries) : undefined;
  if (!image) throw new ImageGoneError(digest);
  return image;
}

/** Gives an image that is in the index further names. NotFoundError where another command has just removed it. */
export function addNames(image: Image, ...references: string[]): Image {
  const entry = readIndex().manifests.find(({ digest }) => digest === image.digest);
  if (!entry) throw new ImageGoneError(image.digest);
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
export function isDangling({ references }: ImageSummary): boolean {
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

/** Rewrites the list of manifests, alone. `change` is given the present one; returns the new one. */
export function changeIndex(change: (manifests: Descriptor[]) => Descriptor[]): Descriptor[] {
  return withLock("index", () => {
    const index = readIndex();
    const manifests = change(index.manifests);
    withReserve(() => writeJson(paths.index, { ...index, manifests }));
    return manifests;
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

function imageOf(entries: Descriptor[]): Image | undefined {
  const summary = toSummary(entries);
  return summary && toImage(summary);
}

function toSummary(entries: Descriptor[]): ImageSummary | undefined {
  const { digest, annotations } = entries[0]!;
  const known = annotations?.[idAnnotation] ? annotations : unlessGone(() => summarize(digest));
  if (!known || !hasBlob(digest)) return undefined;
  return {
    id: known[idAnnotation]!,
    digest,
    references: entries.map(nameOf).filter((name) => name !== undefined),
    sizeBytes: Number(known[sizeAnnotation]),
    created: known[createdAnnotation],
  };
}

/** What the index keeps of an image besides its names. */
function summarize(digest: string): Record<string, string> {
  const manifest = readJsonBlob<Manifest>(digest);
  const config = readJsonBlob<ImageConfig>(manifest.config.digest);
  const sizeBytes = layerSizes({ manifest, config }).reduce((sum, size) => sum + size, 0);
  return {
    [idAnnotation]: manifest.config.digest,
    [sizeAnnotation]: String(sizeBytes),
    ...(config.created && { [createdAnnotation]: config.created }),
  };
}

function toImage(summary: ImageSummary): Image | undefined {
  return unlessGone(() => {
    const config = readJsonBlob<ImageConfig>(summary.id);
    const { os, architecture, variant } = config;
    const platform = { os, architecture, ...(variant && { variant }) };
    return { ...summary, manifest: readJsonBlob<Manifest>(summary.digest), config, platform };
  });
}

function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
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
  return found && imageOf(found);
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

function findByPrefix(images: ImageSummary[], text: string): ImageSummary | undefined {
  const digits = text.replace(/^sha256:/, "");
  if (!/^[0-9a-f]{1,64}$/.test(digits)) return undefined;
  const fitting = images.filter(({ id }) => id.startsWith(`sha256:${digits}`));
  const ids = new Set(fitting.map(({ id }) => id));
  if (ids.size > 1)
    throw new ConflictError(`several images have an id that begins with ${digits}: give more digits of it`);
  return fitting[0];
}
