/** `rmi`: which names an image loses, whether it goes with them, and who is in the way (dockerd, image_delete.go). */

import { ConflictError, NotFoundError } from "./errors.ts";
import { displayName, familiarName, formatReference, parseReference } from "./reference.ts";
import type { Container } from "./storage/containers.ts";
import { recordImageEvent } from "./storage/events.ts";
import { collectGarbage, deleteImage, findImage, listImages, nameMeant, removeReference } from "./storage/images.ts";
import { chainIds } from "./storage/layers.ts";

export interface Removed {
  /** Names as people write them. */
  untagged: string[];
  /** The image's id and the chainIds of layers that nothing else needs, the topmost first. */
  deleted: string[];
}

export interface RemoveOptions {
  force: boolean;
  containers: Container[];
}

/**
 * Takes the name `text` from its image, and with the last name the image itself; an id or its beginning means the image
 * with its name. NotFoundError where there is none, ConflictError in Docker's words where a container or another name
 * is in the way. `force` takes several names at once, and leaves a container the layers that it needs.
 */
export function removeImage(text: string, { force, containers }: RemoveOptions): Removed {
  const image = findImage(text);
  if (!image) throw new NotFoundError(`No such image: ${displayName(text)}`);
  const same = listImages().filter(({ id }) => id === image.id); // manifests that differ in compression alone
  const references = same.flatMap((each) => each.references);
  const name = nameMeant(references, text);
  const users = containers.filter(({ record }) => usesImage(record, image.id));
  const running = users.find(({ state }) => state.status === "running");
  const subject = name ? displayName(text) : shortId(image.id);

  if (running && !(name && (force || !isOneName(references)))) throw inUse(subject, running, Boolean(name));
  if (!force && !name && !isOneName(references)) {
    throw conflict(subject, "must be forced", "image is referenced in multiple repositories");
  }
  if (!force && users[0] && isOneName(references)) throw inUse(subject, users[0], true);

  const leaving = name ? namesToRemove(references, name) : references;
  const untagged = leaving.map((reference) => familiarName(parseReference(reference)));
  const tell = () => {
    for (const each of untagged) recordImageEvent("untag", image.id, each);
  };
  if (leaving.length < references.length || running) {
    for (const reference of leaving) removeReference(reference);
    tell();
    return { untagged, deleted: [] };
  }

  deleteImage(...same);
  tell();
  recordImageEvent("delete", image.id, image.id);
  const collected = new Set(collectGarbage().deleted);
  const layers = chainIds(image.config.rootfs.diff_ids).filter((chainId) => collected.has(chainId));
  return { untagged, deleted: [image.id, ...layers.toReversed()] };
}

/** It is made of it, or has it mounted. */
function usesImage({ image, mounts }: Container["record"], id: string): boolean {
  return image.id === id || mounts.some((mount) => mount.type === "image" && mount.id === id);
}

/** At most one tag, and digests of its repository alone. */
function isOneName(references: string[]): boolean {
  const tags = references.filter((reference) => !isDigestName(reference));
  return tags.length <= 1 && new Set(references.map(repositoryOf)).size <= 1;
}

/** The name, and the digests of its repository when no tag of it is left. */
function namesToRemove(references: string[], name: string): string[] {
  const others = references.filter((other) => other !== name && repositoryOf(other) === repositoryOf(name));
  return isDigestName(name) || !others.every(isDigestName) ? [name] : [name, ...others];
}

function isDigestName(reference: string): boolean {
  return reference.includes("@");
}

function repositoryOf(reference: string): string {
  const { domain, path } = parseReference(reference);
  return formatReference({ domain, path });
}

function inUse(subject: string, { record, state }: Container, canForce: boolean): ConflictError {
  return conflict(
    subject,
    canForce ? "must be forced" : "cannot be forced",
    `image is being used by ${state.status === "running" ? "running" : "stopped"} container ${record.id.slice(0, 12)}`,
  );
}

function conflict(subject: string, how: string, why: string): ConflictError {
  return new ConflictError(`conflict: unable to delete ${subject} (${how}) - ${why}`);
}

function shortId(id: string): string {
  return id.replace(/^.*:/, "").slice(0, 12);
}
