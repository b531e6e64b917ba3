/** From a registry into the store: manifest, configuration, layers, and last the record that names them. */

import { config } from "./config.ts";
import { isIndex, parseConfig, parseIndex, parseManifest, toLayers } from "./documents.ts";
import { PodError } from "./errors.ts";
import { syncLayersLater } from "./later.ts";
import { fetchLayers } from "./layer-fetch.ts";
import { type Document, openRepository, type Repository } from "./net/registry.ts";
import { choosePlatform, formatPlatform, parsePlatform, satisfies } from "./platform.ts";
import type { PullProgress } from "./progress.ts";
import {
  familiarName,
  familiarRepository,
  formatReference,
  parseReference,
  type Reference,
  withDefaultTag,
} from "./reference.ts";
import type { Descriptor, Platform } from "./spec.ts";
import { openPartialBlob } from "./storage/blobs.ts";
import { recordImageEvent } from "./storage/events.ts";
import { findImage, holdLease, type Image, putImage } from "./storage/images.ts";
import { openStore } from "./storage/store.ts";
import { isWhole } from "./storage/used.ts";

const indexDepthLimit = 3;

/**
 * Brings the image that `text` names into the store and returns it; `platform` as in `--platform`. Errors: RegistryError in Docker's
 * words, NotFoundError where the index lacks the platform. Nothing is recorded before all of it is there and verified.
 */
export async function pull(text: string, options: { platform?: string; progress: PullProgress }): Promise<Image> {
  const { progress } = options;
  const given = parseReference(text);
  const reference = withDefaultTag(given);
  const explicit = options.platform ?? config.defaultPlatform;
  const wanted = parsePlatform(explicit);
  openStore();
  progress({ kind: "start", reference, usedDefaultTag: reference.tag !== given.tag });

  const note = (words: string) => progress({ kind: "note", text: words });
  const repository = openRepository(reference, note);
  const local = findImage(formatReference(reference));
  const digest = local && (reference.digest ?? (await repository.currentDigest(reference.tag!)));
  const isKnown = digest && local.references.includes(digestReference(reference, digest));
  if (isKnown && isWhole(local) && satisfies(local.platform, wanted)) {
    progress({ kind: "done", digest, upToDate: true });
    return local;
  }

  const lease = holdLease([]);
  try {
    const top = await repository.manifest(reference.digest ?? reference.tag!);
    const document = await descend(top, wanted, repository);
    const manifest = parseManifest(document);
    lease.add([document.digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)]);
    const configBytes = repository.smallBlob(manifest.config);
    const layers = configBytes.then((bytes) => {
      const imageConfig = parseConfig({ bytes, digest: manifest.config.digest }, manifest.layers.length);
      checkPlatform(text, imageConfig, wanted, explicit ? undefined : note);
      const known = toLayers(manifest, imageConfig);
      lease.add(known.map(({ chainId }) => chainId));
      return known;
    });
    const descriptor = { mediaType: document.mediaType, digest: document.digest, size: document.bytes.length };
    const documents = layers.then(async () => {
      await Promise.all([keep(manifest.config, await configBytes), keep(descriptor, document.bytes)]);
    });
    const results = await Promise.allSettled([fetchLayers(manifest.layers, layers, repository, progress), documents]);
    for (const result of results) if (result.status === "rejected") throw result.reason;
    const image = record(descriptor, reference, top.digest);
    syncLayersLater();
    recordImageEvent("pull", familiarName(reference), familiarRepository(reference));
    progress({ kind: "done", digest: top.digest, upToDate: local?.id === image.id });
    return image;
  } finally {
    lease.release();
  }
}

/** From an index down to the platform's manifest; an index may hold another one. */
async function descend(top: Document, wanted: Platform, repository: Repository): Promise<Document> {
  let document = top;
  for (let depth = 0; isIndex(document); depth++) {
    if (depth === indexDepthLimit)
      throw new PodError(`index ${top.digest} holds indexes more than ${indexDepthLimit} deep`);
    document = await repository.manifest(choosePlatform(parseIndex(document), wanted).digest);
  }
  return document;
}

/** An image without an index can be for another platform: Docker refuses it where the user named one, else it warns. */
function checkPlatform(
  text: string,
  actual: Platform,
  wanted: Platform,
  warn: ((text: string) => void) | undefined,
): void {
  if (satisfies(actual, wanted)) return;
  const [has, wants] = [formatPlatform(actual), formatPlatform(wanted)];
  if (!warn) {
    throw new PodError(
      `image with reference ${text} was found but its platform (${has}) does not match the specified platform (${wants})`,
    );
  }
  warn(
    `the image's platform (${has}) does not match the host platform (${wants}) and no specific platform was requested`,
  );
}

async function keep(descriptor: Descriptor, bytes: Uint8Array): Promise<void> {
  const partial = await openPartialBlob({ ...descriptor, size: bytes.length });
  partial?.restart();
  partial?.write(bytes);
  await partial?.finish();
}

/** The digest is a reference too, so that `alpine@sha256:…` finds what `alpine` brought; the index's digest, as Docker shows it. */
function record(manifest: Descriptor, reference: Reference, topDigest: string): Image {
  const names = [digestReference(reference, topDigest), ...(reference.digest ? [] : [formatReference(reference)])];
  return putImage(manifest, ...names);
}

function digestReference({ domain, path }: Reference, digest: string): string {
  return formatReference({ domain, path, digest });
}
