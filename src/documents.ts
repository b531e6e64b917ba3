/** Indexes, manifests and configurations as strangers write them: checked before anything is believed. */

import { PodError } from "./errors.ts";
import { isDigest } from "./reference.ts";
import { type Descriptor, type ImageConfig, type Index, type Manifest, mediaTypes } from "./spec.ts";
import { kindOf } from "./storage/decompress.ts";
import { chainIds, type LayerSource } from "./storage/layers.ts";
import { readHead } from "./storage/reading.ts";

/** JSON that somebody else wrote, by its digest. */
export interface Document {
  bytes: Uint8Array;
  digest: string;
}

/** One layer of an image that is to come into the store. */
export interface Layer extends LayerSource {
  descriptor: Descriptor;
}

const configType = /^application\/vnd\.(oci\.image\.config\.v1|docker\.container\.image\.v1)\+json$/;
const layerType = /^application\/vnd\.(oci|docker)\.image\..*tar([+.](gzip|zstd))?$/;
const layersMaximum = 127; // as many fit into one mount(2): storage/drivers.ts

export function isIndex({ mediaType }: { mediaType: string }): boolean {
  return mediaType === mediaTypes.index || mediaType === mediaTypes.dockerManifestList;
}

/** PodError where it is no index. */
export function parseIndex(document: Document): Index {
  const index = parseJson<Index>(document);
  if (Array.isArray(index.manifests) && index.manifests.every(isDescriptor)) return index;
  throw new PodError(`index ${document.digest} is not in the form of the OCI image spec`);
}

/** PodError where it is no manifest, or one of something that is no container image. */
export function parseManifest(document: Document): Manifest {
  const manifest = parseJson<Manifest>(document);
  const { config: configDescriptor, layers } = manifest;
  if (!isDescriptor(configDescriptor) || !Array.isArray(layers) || !layers.every(isDescriptor)) {
    throw new PodError(`manifest ${document.digest} is not in the form of the OCI image spec`);
  }
  const odd = [configDescriptor, ...layers].find(
    ({ mediaType }, index) => !(index ? layerType : configType).test(mediaType),
  );
  if (odd) throw new PodError(`unsupported media type ${odd.mediaType}`, { hint: "this is not a container image" });
  return manifest;
}

/** PodError where the configuration does not fit an image of so many layers. */
export function parseConfig(document: Document, layerCount: number): ImageConfig {
  const parsed = parseJson<ImageConfig>(document);
  const diffIds: unknown = parsed.rootfs?.diff_ids ?? [];
  if (!Array.isArray(diffIds) || !diffIds.every(isDigest) || diffIds.length !== layerCount) {
    throw new PodError(`image configuration ${document.digest} does not name the diffIds of its ${layerCount} layers`);
  }
  checkDepth(layerCount);
  if (!isWellFormed(parsed))
    throw new PodError(`image configuration ${document.digest} is not in the form of the OCI image spec`);
  return parsed;
}

/** What pod reads of it has the types that the image spec gives: config.md. */
function isWellFormed({ config, history }: ImageConfig): boolean {
  const isList = (value: unknown) =>
    value == null || (Array.isArray(value) && value.every((each) => typeof each === "string"));
  const isMap = (value: unknown) => value == null || (typeof value === "object" && !Array.isArray(value));
  const isText = (value: unknown) => value == null || typeof value === "string";
  const isStep = ({ created, created_by, author, comment }: Partial<Record<string, unknown>>) =>
    [created, created_by, author, comment].every(isText);
  const isNumber = (value: unknown) => value == null || (Number.isSafeInteger(value) && Number(value) >= 0);
  const { Env, Entrypoint, Cmd, Shell, OnBuild, Labels, ExposedPorts, Volumes, User, WorkingDir, StopSignal } =
    config ?? {};
  const { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } = config?.Healthcheck ?? {};
  return (
    isMap(config) &&
    [Env, Entrypoint, Cmd, Shell, OnBuild, Test].every(isList) &&
    [Labels, ExposedPorts, Volumes, config?.Healthcheck].every(isMap) &&
    [Interval, Timeout, StartPeriod, StartInterval, Retries].every(isNumber) &&
    Object.values(Labels ?? {}).every(isText) &&
    [User, WorkingDir, StopSignal].every(isText) &&
    (history == null || (Array.isArray(history) && history.every((step) => step && isMap(step) && isStep(step))))
  );
}

/** Docker's words for an image that no driver could mount. */
export function checkDepth(layerCount: number): void {
  if (layerCount <= layersMaximum) return;
  throw new PodError(`max depth exceeded: ${layerCount} layers`, {
    hint: `at most ${layersMaximum} layers are possible`,
  });
}

/** The manifest's layers with what the configuration says of them. */
export function toLayers(manifest: Pick<Manifest, "layers">, { rootfs }: ImageConfig): Layer[] {
  const chain = chainIds(rootfs?.diff_ids ?? []);
  return manifest.layers.map((descriptor, index) => ({
    descriptor,
    diffId: rootfs.diff_ids[index]!,
    chainId: chain[index]!,
    parents: chain.slice(0, index),
    blob: descriptor.digest,
  }));
}

/** By the first bytes of the archive at `path`. */
export function mediaTypeOfLayer(path: string): string {
  const types = { gzip: mediaTypes.layerGzip, zstd: mediaTypes.layerZstd, plain: mediaTypes.layer };
  return types[kindOf(readHead(path))];
}

function parseJson<T>({ bytes, digest }: Document): T {
  try {
    const value = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof value === "object" && value) return value as T;
  } catch {
    // said below
  }
  throw new PodError(`${digest} is not a JSON object`);
}

function isDescriptor(value: unknown): value is Descriptor {
  const { digest, size, mediaType, annotations } = (value ?? {}) as Partial<Descriptor>;
  return (
    typeof digest === "string" &&
    isDigest(digest) &&
    Number.isSafeInteger(size) &&
    size! >= 0 &&
    typeof mediaType === "string" &&
    Object.values(annotations ?? {}).every((text) => typeof text === "string")
  );
}
