/** What is in an image archive, checked whole before anything of it is kept: OCI image layouts and Docker's `manifest.json`. */

import {
  type Document,
  isIndex,
  type Layer,
  mediaTypeOfLayer,
  parseConfig,
  parseIndex,
  parseManifest,
  toLayers,
} from "./documents.ts";
import { PodError } from "./errors.ts";
import { choosePlatform } from "./platform.ts";
import { formatReference, parseReference, withDefaultTag } from "./reference.ts";
import { type Descriptor, type ImageConfig, mediaTypes, type Platform } from "./spec.ts";
import { digestOf } from "./storage/blobs.ts";
import type { StagedArchive, StagedFile } from "./storage/staging.ts";

/** An image that can be kept. */
export interface PlannedImage {
  manifest: Descriptor;
  /** The manifest's bytes, which may be of our making, and the configuration's. */
  documents: Document[];
  config: ImageConfig;
  layers: (Layer & { path: string })[];
  /** In full. */
  names: string[];
  /** Its manifest was made here: an image of the same id that is there already will do. */
  isRemade: boolean;
}

const manifestFile = "manifest.json";
const indexFile = "index.json";
/** containerd's, and podman's reading of the image spec's; each in full where the program knew it. */
const nameAnnotations = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/** The images of the archive; of those for several platforms the one for `wanted`. PodErrors say what is missing or wrong. */
export function planImages(archive: StagedArchive, wanted: Platform): PlannedImage[] {
  const index = archive.find(indexFile); // with both, as Docker saves today, this one keeps the digests
  const manifest = archive.find(manifestFile);
  if (!index && !manifest) {
    throw new PodError(`it is no image archive: it has neither ${indexFile} nor ${manifestFile}`, {
      hint: "a root file system becomes an image with pod import",
    });
  }
  const images = index ? planLayout(archive, index, wanted) : planDocker(archive, manifest!);
  if (!images.length) throw new PodError("there is no image in it");
  return images;
}

function planLayout(archive: StagedArchive, indexFile: StagedFile, wanted: Platform): PlannedImage[] {
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

function nameOf({ annotations = {} }: Descriptor): string | undefined {
  const name = nameAnnotations.map((key) => annotations[key]).find((value) => value?.match(/[:/]/)); // a tag alone names nothing
  return name && parseName(name);
}

function parseName(name: string): string {
  try {
    return formatReference(withDefaultTag(parseReference(name)));
  } catch (cause) {
    throw new PodError(`the name ${JSON.stringify(name)}`, { cause });
  }
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

interface DockerEntry {
  Config: string;
  RepoTags: string[] | null;
  /** Names of members, from the lowest layer up. */
  Layers: string[];
}

function planDocker(archive: StagedArchive, file: StagedFile): PlannedImage[] {
  const entries = parseEntries(archive.readDocument(file));
  const images = entries.map((entry) => planEntry(archive, entry));
  const owners = Map.groupBy(
    images.flatMap(({ names, documents }) => names.map((name) => ({ name, id: documents[1]!.digest }))),
    ({ name }) => name,
  );
  for (const [name, owner] of owners) {
    const ids = [...new Set(owner.map(({ id }) => id))];
    if (ids.length > 1) throw ambiguous(name, ids);
  }
  return images;
}

function parseEntries({ bytes }: Document): DockerEntry[] {
  const isText = (value: unknown) => typeof value === "string";
  const isList = (value: unknown) => Array.isArray(value) && value.every(isText);
  try {
    const entries = JSON.parse(new TextDecoder().decode(bytes)) as DockerEntry[];
    const isRight = entries.every((each) => isText(each.Config) && isList(each.RepoTags ?? []) && isList(each.Layers));
    if (isRight) return entries;
  } catch {
    // said below
  }
  throw new PodError(`its ${manifestFile} is not in the form that docker save writes`);
}

/** The archive has no manifest in the image spec's sense: it gets one, of the layers as they lie there. */
function planEntry(archive: StagedArchive, entry: DockerEntry): PlannedImage {
  const find = (name: string) => {
    const file = archive.find(name);
    if (!file) throw new PodError(`it lacks ${name}, which its ${manifestFile} names`);
    return file;
  };
  const configDocument = archive.readDocument(find(entry.Config));
  const config = parseConfig(configDocument, entry.Layers.length);
  const files = entry.Layers.map(find);
  const toDescriptor = ({ path, digest, size }: StagedFile): Descriptor => ({
    mediaType: mediaTypeOfLayer(path),
    digest,
    size,
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, digest: configDocument.digest, size: configDocument.bytes.length },
    layers: files.map(toDescriptor),
  } as const;
  const bytes = Buffer.from(JSON.stringify(manifest));
  const digest = digestOf(bytes);
  return {
    manifest: { mediaType: mediaTypes.manifest, digest, size: bytes.length },
    documents: [{ bytes, digest }, configDocument],
    config,
    layers: toLayers(manifest, config).map((layer, index) => ({ ...layer, path: files[index]!.path })),
    names: (entry.RepoTags ?? []).map(parseName),
    isRemade: true,
  };
}

function ambiguous(name: string, digests: string[]): PodError {
  return new PodError(`it has ${digests.length} images of the name ${name}: ${digests.join(", ")}`);
}
