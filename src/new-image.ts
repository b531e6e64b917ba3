/** An image of pod's own making, recorded: what commit and import end with. */

import { syncLayersLater } from "./later.ts";
import { type Descriptor, type ImageConfig, type Manifest, mediaTypes } from "./spec.ts";
import { digestOf, putBlob } from "./storage/blobs.ts";
import { type Image, putImage } from "./storage/images.ts";

/** What an image is made of; the layers are in the store already, and leased. */
export interface NewImage {
  config: ImageConfig;
  layers: Descriptor[];
  /** Docker's schema 2, as its base image is: the two kinds don't mix in one manifest. */
  isDocker: boolean;
}

/** Records it, under a name where one is given. `reserve` is given the digests that come to be, to lease them. */
export function putNewImage(image: NewImage, reserve: (names: string[]) => void, name?: string): Image {
  const put = (mediaType: string, value: ImageConfig | Manifest): Descriptor => {
    const bytes = Buffer.from(JSON.stringify(value));
    reserve([digestOf(bytes)]);
    return { mediaType, digest: putBlob(bytes), size: bytes.length };
  };
  const { config, layers, isDocker } = image;
  const mediaType = isDocker ? mediaTypes.dockerManifest : mediaTypes.manifest;
  const configDescriptor = put(isDocker ? mediaTypes.dockerConfig : mediaTypes.config, config);
  const manifest = put(mediaType, { schemaVersion: 2, mediaType, config: configDescriptor, layers });
  const made = putImage(manifest, ...(name ? [name] : []));
  syncLayersLater();
  return made;
}
