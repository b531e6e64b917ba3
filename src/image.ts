/** Images: what the commands, the REST API and the builder do with them. */

import { config } from "./config.ts";
import { formatError, NotFoundError, RegistryError, UsageError } from "./errors.ts";
import { enterUserNamespace, takeSingleIdNote } from "./ns/userns.ts";
import { formatPlatform, parsePlatform, satisfies } from "./platform.ts";
import type { PullProgress, PushProgress } from "./progress.ts";
import type { Pushed } from "./push.ts";
import {
  displayName,
  familiarName,
  formatReference,
  parseReference,
  type Reference,
  withDefaultTag,
} from "./reference.ts";
import { meaningsOf } from "./short-names.ts";
import { loadStarter, starterReference } from "./starter-image.ts";
import { findImage, type Image } from "./storage/images.ts";

export type { PullProgress } from "./progress.ts";

/** Brings an image into the store: see pull.ts. `starter` comes out of this program. */
export async function pull(text: string, options: { platform?: string; progress: PullProgress }): Promise<Image> {
  enterUserNamespace(); // layers hold files of many owners
  const note = takeSingleIdNote();
  if (note) options.progress({ kind: "note", text: note });
  const reference = withDefaultTag(parseReference(text));
  if (formatReference(reference) !== starterReference) return await pullFirst(meaningsOf(text), options);
  options.progress({ kind: "start", reference, usedDefaultTag: !parseReference(text).tag });
  const before = findImage(starterReference);
  const image = await loadStarter();
  checkPlatform(image, text, options.platform);
  options.progress({ kind: "done", digest: image.digest, upToDate: before?.id === image.id });
  return image;
}

/** Brings all images of a repository into the store, one tag after the other. UsageError where a tag is given. */
export async function pullAll(text: string, options: { platform?: string; progress: PullProgress }): Promise<void> {
  const given = parseReference(text);
  if (given.tag || given.digest) throw new UsageError("tag can't be used with --all-tags/-a");
  const [reference] = meaningsOf(text);
  const { openRepository } = await import("./net/registry.ts");
  const note = (words: string) => options.progress({ kind: "note", text: words });
  for (const tag of await openRepository(reference!, note).tags()) {
    await pull(formatReference({ ...reference!, tag }), options);
  }
}

/** Of several registries that a short name may mean, the first that has the image. */
async function pullFirst(
  [reference, ...others]: Reference[],
  options: { platform?: string; progress: PullProgress },
): Promise<Image> {
  const { pull: pullReference } = await import("./pull.ts");
  const name = familiarName(reference!);
  try {
    return await pullReference(name, options);
  } catch (error) {
    if (!others.length || !(error instanceof RegistryError)) throw error;
    options.progress({ kind: "note", text: `${name}: ${formatError(error)}` });
    return await pullFirst(others, options);
  }
}

/** Sends images to their registry: see push.ts. */
export async function push(text: string, options: { allTags: boolean; progress: PushProgress }): Promise<Pushed[]> {
  return await (await import("./push.ts")).push(text, options);
}

/** The image to run: the local one, or pulled, by `--pull`. NotFoundError with `never` where it is not there. */
export async function ensureImage(
  text: string,
  options: { pull: "always" | "missing" | "never"; platform?: string },
  progress: PullProgress,
): Promise<Image> {
  const platform = options.platform ?? config.defaultPlatform;
  if (options.pull !== "always") {
    try {
      return await resolve(text, { platform });
    } catch (error) {
      const canPull = options.pull === "missing" && !/^sha256:/.test(text); // an id is in no registry
      if (!canPull || !(error instanceof NotFoundError)) throw error;
    }
  }
  return await pull(text, { platform, progress });
}

/**
 * The local image of that name, id or digest. NotFoundError with Docker's text where there is none, or none for the platform:
 * then a pull can help. `starter` is always there.
 */
export async function resolve(text: string, options: { platform?: string } = {}): Promise<Image> {
  const image = findImage(text) ?? (isStarter(text) ? await unpackStarter() : undefined);
  if (!image) throw new NotFoundError(`No such image: ${displayName(text)}`);
  checkPlatform(image, text, options.platform);
  return image;
}

function checkPlatform(image: Image, text: string, platform: string | undefined): void {
  if (!platform || satisfies(image.platform, parsePlatform(platform))) return;
  throw new NotFoundError(
    `image with reference ${text} was found but its platform (${formatPlatform(image.platform)}) does not match the specified platform (${platform})`,
  );
}

async function unpackStarter(): Promise<Image> {
  enterUserNamespace();
  return await loadStarter();
}

function isStarter(text: string): boolean {
  try {
    return formatReference(withDefaultTag(parseReference(text))) === starterReference;
  } catch {
    return false; // an id is no name
  }
}
