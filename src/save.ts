/** `save`: images as one archive, an OCI image layout or Docker's. The same images give the same bytes. */

import { type SavedImage, type Write, writeDocker, writeLayout } from "./archive-writer.ts";
import { resolve } from "./image.ts";
import { formatReference, parseReference } from "./reference.ts";
import { holdLease, listImages, nameMeant } from "./storage/images.ts";
import { tarEnd } from "./storage/tarwriter.ts";

export const archiveFormats = ["docker-archive", "oci-archive"] as const;
export type ArchiveFormat = (typeof archiveFormats)[number];

/** Gives the archive's bytes to `write`, in order. Errors: NotFoundError for a name, PodError for a blob that is gone or damaged. */
export async function saveImages(texts: string[], format: ArchiveFormat, write: Write): Promise<void> {
  const images = await chooseImages(texts);
  const lease = holdLease(
    images.flatMap(({ image: { id, digest, manifest } }) => [
      id,
      digest,
      ...manifest.layers.map((layer) => layer.digest),
    ]),
  );
  try {
    await (format === "oci-archive" ? writeLayout : writeDocker)(write, images);
    write(tarEnd);
  } finally {
    lease.release();
  }
}

async function chooseImages(texts: string[]): Promise<SavedImage[]> {
  const chosen = new Map<string, SavedImage>();
  for (const text of texts) {
    for (const { image, names } of await namedBy(text)) {
      const known = chosen.get(image.digest)?.names ?? [];
      chosen.set(image.digest, { image, names: [...new Set([...known, ...names])] });
    }
  }
  return [...chosen.values()];
}

/** A repository without a tag means all its tags, as with Docker. */
async function namedBy(text: string): Promise<SavedImage[]> {
  const reference = parseUnlessId(text);
  if (reference && !reference.tag && !reference.digest) {
    const start = `${formatReference(reference)}:`;
    const tagged = listImages().map((image) => ({
      image,
      names: image.references.filter((name) => name.startsWith(start)),
    }));
    const found = tagged.filter(({ names }) => names.length);
    if (found.length) return found;
  }
  const image = await resolve(text);
  const name = nameMeant(image.references, text);
  return [{ image, names: name && !reference?.digest ? [name] : [] }];
}

function parseUnlessId(text: string) {
  try {
    return parseReference(text);
  } catch {
    return undefined; // resolve tells what is wrong with it, if it is no id
  }
}
