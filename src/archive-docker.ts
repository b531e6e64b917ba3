/** The images of a Docker archive: `manifest.json` names configurations and layers (Docker image spec v1.2). */

import { ambiguous, type PlannedImage, parseName } from "./archive-plan.ts";
import { type Document, mediaTypeOfLayer, parseConfig, toLayers } from "./documents.ts";
import { PodError } from "./errors.ts";
import { type Descriptor, mediaTypes } from "./spec.ts";
import { digestOf } from "./storage/blobs.ts";
import type { StagedArchive, StagedFile } from "./storage/staging.ts";

interface DockerEntry {
  Config: string;
  RepoTags: string[] | null;
  /** Names of members, from the lowest layer up. */
  Layers: string[];
}

/** `file` is its manifest.json. PodErrors say what is missing or wrong. */
export function planDocker(archive: StagedArchive, file: StagedFile): PlannedImage[] {
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
  throw new PodError(`its manifest.json is not in the form that docker save writes`);
}

/** The archive has no manifest in the image spec's sense: it gets one, of the layers as they lie there. */
function planEntry(archive: StagedArchive, entry: DockerEntry): PlannedImage {
  const find = (name: string) => {
    const file = archive.find(name);
    if (!file) throw new PodError(`it lacks ${name}, which its manifest.json names`);
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
