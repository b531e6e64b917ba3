/** Further names for images, and fewer. */

import { NotFoundError, UsageError } from "./errors.ts";
import {
  displayName,
  familiarName,
  familiarRepository,
  formatReference,
  parseReference,
  type Reference,
  withDefaultTag,
} from "./reference.ts";
import { recordImageEvent } from "./storage/events.ts";
import { addNames, findImage, type Image, removeReference } from "./storage/images.ts";

/** Gives the image that `source` names these names too; an image that had one of them loses it. Errors are Docker's. */
export function tagImage(source: string, targets: string[]): void {
  const image = existing(source);
  const names = targets.map(parseTarget);
  addNames(image, ...names.map(formatReference));
  for (const name of names) recordImageEvent("tag", image.id, familiarName(name));
}

/** Takes these names from the image, or all its names where none is given; the image stays. NotFoundError for a name that it does not have. */
export function untagImage(text: string, names: string[]): void {
  const image = existing(text);
  const leaving = names.map((name) => formatReference(withDefaultTag(parseReference(name))));
  for (const [index, name] of leaving.entries()) {
    if (!image.references.includes(name)) throw new NotFoundError(`${displayName(names[index]!)}: tag not known`);
  }
  for (const name of leaving.length ? leaving : image.references) {
    removeReference(name);
    recordImageEvent("untag", image.id, familiarName(parseReference(name)));
  }
}

/** What a new image is to be called: a name, perhaps with a tag. UsageError in Docker's words. */
export function parseTarget(text: string): Reference {
  let reference: Reference;
  try {
    reference = parseReference(text);
  } catch (cause) {
    throw new UsageError(`Error parsing reference: ${JSON.stringify(text)} is not a valid repository/tag`, { cause });
  }
  if (reference.digest) throw new UsageError("refusing to create a tag with a digest reference");
  if (familiarRepository(reference) === "sha256") {
    throw new UsageError("refusing to create an ambiguous tag using digest algorithm as name");
  }
  return withDefaultTag(reference);
}

function existing(text: string): Image {
  const image = findImage(text);
  if (!image) throw new NotFoundError(`No such image: ${displayName(text)}`);
  return image;
}
