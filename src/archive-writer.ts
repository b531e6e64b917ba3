/** The two forms of an image archive, written in one go. */

import { closeSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { PodError } from "./errors.ts";
import { writeAll } from "./ns/sys/descriptor.ts";
import { type Descriptor, type Index, mediaTypes } from "./spec.ts";
import { blobPath, readBlob } from "./storage/blobs.ts";
import { decompress } from "./storage/decompress.ts";
import { makeTemporaryDir, removeTree } from "./storage/files.ts";
import type { Image } from "./storage/images.ts";
import { readFile } from "./storage/reading.ts";
import { emptyFile, tarHeader, tarPadding } from "./storage/tarwriter.ts";

/** Takes the archive's bytes, in order. */
export type Write = (bytes: Uint8Array) => void;

export interface SavedImage {
  image: Image;
  /** In full; none for one that was asked for by its id or digest. */
  names: string[];
}

/** image-spec image-layout.md: the blobs as they are. */
export async function writeLayout(write: Write, images: SavedImage[]): Promise<void> {
  const manifests = images.flatMap(({ image, names }) => {
    const { digest, manifest } = image;
    const mediaType = manifest.mediaType ?? mediaTypes.manifest;
    const size = readBlob(digest).length;
    return (names.length ? names : [undefined]).map(
      (name): Descriptor => ({
        mediaType,
        digest,
        size,
        // The second is the image spec's, in full as podman writes it and reads it.
        ...(name && {
          annotations: { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name },
        }),
      }),
    );
  });
  const index: Index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
  writeText(write, "oci-layout", '{"imageLayoutVersion":"1.0.0"}');
  writeText(write, "index.json", JSON.stringify(index));
  const blobs = [...manifests, ...images.flatMap(({ image: { manifest } }) => [manifest.config, ...manifest.layers])];
  const folders = new Set(blobs.map(({ digest }) => `blobs/${digest.replace(/:.*/, "")}`));
  // skopeo 1.9 fails as an ordinary user where an archive leaves its folders out.
  for (const name of ["blobs", ...folders]) write(tarHeader({ ...emptyFile, kind: "directory", name, mode: 0o755 }));
  for (const blob of new Map(blobs.map((each) => [each.digest, each])).values()) {
    await writeFile(write, `blobs/${blob.digest.replace(":", "/")}`, checkBlob(blob));
  }
}

/** What every `docker load` and podman read: image-spec of Docker, v1.2, "Combined Image JSON + Filesystem Changeset Format"; layers are plain. */
export async function writeDocker(write: Write, images: SavedImage[]): Promise<void> {
  const layerName = (diffId: string) => `${hexOf(diffId)}.tar`;
  const manifest = images.map(({ image, names }) => ({
    Config: `${hexOf(image.id)}.json`,
    RepoTags: names.length ? names : null, // in full: podman takes a short one for localhost's
    Layers: image.config.rootfs.diff_ids.map(layerName),
  }));
  writeText(write, "manifest.json", JSON.stringify(manifest));
  for (const { config } of new Map(images.map(({ image }) => [image.id, image.manifest])).values()) {
    await writeFile(write, `${hexOf(config.digest)}.json`, checkBlob(config));
  }
  const layers = images.flatMap(
    ({
      image: {
        config,
        manifest: { layers: blobs },
      },
    }) => config.rootfs.diff_ids.map((diffId, index) => [layerName(diffId), blobs[index]!] as const),
  );
  for (const [name, blob] of new Map(layers)) await writeLayer(write, name, checkBlob(blob));
}

/** A header needs the size, which is known when all is decompressed: through a file, since memory must not hold a layer. */
async function writeLayer(write: Write, name: string, blob: string): Promise<void> {
  const dir = makeTemporaryDir();
  try {
    const plain = join(dir, "layer.tar");
    const target = openSync(plain, "wx", 0o600);
    try {
      for await (const chunk of decompress(readFile(blob))) writeAll(target, chunk);
    } finally {
      closeSync(target);
    }
    await writeFile(write, name, plain);
  } finally {
    removeTree(dir);
  }
}

function writeText(write: Write, name: string, text: string): void {
  const bytes = Buffer.from(text);
  write(tarHeader({ ...emptyFile, name, size: bytes.length }));
  write(bytes);
  write(tarPadding(bytes.length));
}

async function writeFile(write: Write, name: string, path: string): Promise<void> {
  const { size } = statSync(path);
  write(tarHeader({ ...emptyFile, name, size }));
  for await (const chunk of readFile(path)) write(chunk);
  write(tarPadding(size));
}

/** The blob's path. */
function checkBlob({ digest, size }: Descriptor): string {
  const found = statSync(blobPath(digest), { throwIfNoEntry: false })?.size;
  if (found === size) return blobPath(digest);
  const what = found === undefined ? "it is not in the store" : `it has ${found} bytes, not the ${size} it should have`;
  throw new PodError(`blob ${digest}: ${what}`, { hint: "pull or load the image again" });
}

function hexOf(digest: string): string {
  return digest.replace(/^.*:/, "");
}
