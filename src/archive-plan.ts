/** What an image archive gives: its images, checked before anything of them is kept. */

import type { Document, Layer } from "./documents.ts";
import { PodError } from "./errors.ts";
import { formatReference, parseReference, withDefaultTag } from "./reference.ts";
import type { Descriptor, ImageConfig } from "./spec.ts";

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

/** A name of the archive's, in full. PodError with Docker's words where it can be none. */
export function parseName(name: string): string {
  try {
    return formatReference(withDefaultTag(parseReference(name)));
  } catch (cause) {
    throw new PodError(`the name ${JSON.stringify(name)}`, { cause });
  }
}

/** More than one image of a name can't be kept. */
export function ambiguous(name: string, digests: string[]): PodError {
  return new PodError(`it has ${digests.length} images of the name ${name}: ${digests.join(", ")}`);
}
