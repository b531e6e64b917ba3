/** Manifest lists: one name for the images of several platforms, put together here and pushed by manifest-push.ts. */

import { ConflictError, NotFoundError, UsageError } from "./errors.ts";
import { type Document, openRepository } from "./net/registry.ts";
import { choosePlatform, parsePlatform } from "./platform.ts";
import { familiarName, formatReference, parseReference, type Reference, withDefaultTag } from "./reference.ts";
import { type Descriptor, type ImageConfig, type Index, type Manifest, mediaTypes, type Platform } from "./spec.ts";
import { readBlob } from "./storage/blobs.ts";
import { findImage } from "./storage/images.ts";
import { changeList, deleteList, type ManifestList, readList } from "./storage/lists.ts";

/** What an entry of the list says of its image, beyond what the image itself says. */
export interface Remarks {
  os?: string;
  architecture?: string;
  variant?: string;
  osVersion?: string;
  osFeatures?: string[];
  annotations?: Record<string, string>;
}

/** Images as they come into a list, and the repository that they come from. */
interface Found {
  entries: Descriptor[];
  source?: string;
}

type Note = (text: string) => void;

/** The list's name in full. UsageError where the text is no reference, or one with a digest. */
export function listName(text: string): string {
  const reference = withDefaultTag(parseReference(text.replace(/^docker:\/\//, "")));
  if (reference.digest) throw new UsageError(`the name of a manifest list has no digest: ${text}`);
  return formatReference(reference);
}

/** A list of these images, as addToList takes them; with `amend` they come to those of a list that is there. ConflictError without. */
export async function createList(
  name: string,
  texts: string[],
  options: { all: boolean; amend: boolean },
  note: Note,
): Promise<void> {
  const index: Index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] };
  const begin = (list: ManifestList | undefined): ManifestList => {
    if (!list || options.amend) return list ?? { version: 1, name, index, sources: {} };
    throw new ConflictError("refusing to amend an existing manifest list with no --amend flag");
  };
  begin(readList(name)); // before anybody is asked
  const found = await findAll(texts, options.all, note);
  changeList(name, (list) => found.reduce(merge, begin(list)));
}

/**
 * Adds the images that `texts` name: of the store, else of a registry (with `docker://` always that). Of an index it is this machine's
 * platform, or with `all` every entry as it stands. An image that is in the list already gets its remarks anew.
 */
export async function addToList(
  name: string,
  texts: string[],
  options: { all: boolean; remarks: Remarks },
  note: Note,
): Promise<void> {
  existing(name);
  const found = await findAll(texts, options.all, note);
  const marked = found.map(({ entries, source }) => ({
    entries: entries.map((entry) => withRemarks(entry, options.remarks)),
    source,
  }));
  changeList(name, (list = existing(name)) => marked.reduce(merge, list));
}

/** Changes what the list says of an image in it, named by its digest or as it was added. */
export async function annotate(name: string, text: string, remarks: Remarks, note: Note): Promise<void> {
  const has = (digest: string) => existing(name).index.manifests.some((entry) => entry.digest === digest);
  const digests = has(text) ? [text] : (await find(text, true, note)).entries.map(({ digest }) => digest);
  const chosen = digests.filter(has);
  if (!chosen.length) throw new NotFoundError(`manifest for image ${text} does not exist in ${shown(name)}`);
  changeList(name, (list = existing(name)) => {
    const change = (entry: Descriptor) => (chosen.includes(entry.digest) ? withRemarks(entry, remarks) : entry);
    return { ...list, index: { ...list.index, manifests: list.index.manifests.map(change) } };
  });
}

/** The list's index, or the manifest that a registry has under that name. */
export async function inspectManifest(text: string, note: Note): Promise<object> {
  const reference = withDefaultTag(parseReference(text.replace(/^docker:\/\//, "")));
  const list = reference.digest ? undefined : readList(formatReference(reference));
  if (list) return list.index;
  return parse(await openRepository(reference, note).manifest(reference.digest ?? reference.tag!));
}

export function removeList(name: string): void {
  existing(name);
  deleteList(name);
}

/** NotFoundError where there is none. */
export function existing(name: string): ManifestList {
  const list = readList(name);
  if (!list) throw new NotFoundError(`No such manifest: ${shown(name)}`);
  return list;
}

function merge(list: ManifestList, { entries, source }: Found): ManifestList {
  const others = list.index.manifests.filter(({ digest }) => !entries.some((entry) => entry.digest === digest));
  const sources = source ? Object.fromEntries(entries.map(({ digest }) => [digest, source])) : {};
  return {
    ...list,
    index: { ...list.index, manifests: [...others, ...entries] },
    sources: { ...list.sources, ...sources },
  };
}

async function findAll(texts: string[], all: boolean, note: Note): Promise<Found[]> {
  const found: Found[] = [];
  for (const text of texts) found.push(await find(text, all, note));
  return found;
}

async function find(text: string, all: boolean, note: Note): Promise<Found> {
  const plain = text.replace(/^docker:\/\//, "");
  const image = plain === text ? findImage(text) : undefined;
  if (!image) return await findRemote(withDefaultTag(parseReference(plain)), all, note);
  const { digest, manifest, config, references } = image;
  const size = readBlob(digest).length;
  const pulled = references.map(parseReference).find((name) => name.digest);
  const entry = { mediaType: manifest.mediaType ?? mediaTypes.manifest, digest, size, platform: platformOf(config) };
  return { entries: [entry], source: pulled && repositoryOf(pulled) };
}

async function findRemote(reference: Reference, all: boolean, note: Note): Promise<Found> {
  const source = repositoryOf(reference);
  const repository = openRepository(reference, note);
  const document = await repository.manifest(reference.digest ?? reference.tag!);
  const { mediaType, digest, bytes } = document;
  if (mediaType === mediaTypes.index || mediaType === mediaTypes.dockerManifestList) {
    const index = parse<Index>(document);
    return { entries: all ? index.manifests : [choosePlatform(index, parsePlatform(undefined))], source };
  }
  const manifest = parse<Manifest>(document);
  const config = parse<ImageConfig>({ bytes: await repository.smallBlob(manifest.config) });
  return { entries: [{ mediaType, digest, size: bytes.length, platform: platformOf(config) }], source };
}

function platformOf(config: ImageConfig): Platform {
  const { os, architecture, variant } = config;
  const version = config["os.version"];
  return { os, architecture, ...(variant && { variant }), ...(version && { "os.version": version }) };
}

function repositoryOf({ domain, path }: Reference): string {
  return formatReference({ domain, path });
}

function withRemarks(entry: Descriptor, remarks: Remarks): Descriptor {
  const { os, architecture, variant, osVersion, osFeatures, annotations } = remarks;
  const platform = {
    ...entry.platform,
    ...(os && { os }),
    ...(architecture && { architecture }),
    ...(variant && { variant }),
    ...(osVersion && { "os.version": osVersion }),
    ...(osFeatures?.length && { "os.features": osFeatures }),
  };
  const all = { ...entry.annotations, ...annotations };
  return {
    ...entry,
    ...(Object.keys(platform).length && { platform: platform as Platform }),
    ...(Object.keys(all).length && { annotations: all }),
  };
}

function parse<T extends object>({ bytes }: Pick<Document, "bytes">): T {
  return JSON.parse(new TextDecoder().decode(bytes)) as T;
}

function shown(name: string): string {
  return familiarName(parseReference(name));
}
