/** Small OCI image layouts, made for a test. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createTar } from "nanotar";
import { type Descriptor, type ImageConfig, mediaTypes, type Platform } from "../src/spec.ts";

/** Files of one layer: path → content; a Uint8Array instead is a whole tar archive. */
export type LayerContent = Record<string, string | Uint8Array> | Uint8Array;

export interface LayoutImage {
  layers: LayerContent[];
  platform?: Platform;
  config?: ImageConfig["config"];
}

export interface Layout {
  directory: string;
  /** What index.json names: a manifest, or an index of several. */
  descriptor: Descriptor;
  /** The manifests, in the order given. */
  manifests: Descriptor[];
  /** Each manifest's configuration. */
  configs: Descriptor[];
}

/** Writes the images into `directory`; more than one become an image index. Layers are gzip. */
export function writeLayout(directory: string, images: LayoutImage[]): Layout {
  mkdirSync(join(directory, "blobs/sha256"), { recursive: true });
  const put = (mediaType: string, bytes: Uint8Array): Descriptor => {
    const hex = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
    writeFileSync(join(directory, "blobs/sha256", hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const putJson = (mediaType: string, value: object) => put(mediaType, Buffer.from(JSON.stringify(value)));

  const configs: Descriptor[] = [];
  const manifests = images.map(({ layers, platform = { os: "linux", architecture: "amd64" }, config }) => {
    const archives = layers.map(toTar);
    const diffIds = archives.map((tar) => `sha256:${new Bun.CryptoHasher("sha256").update(tar).digest("hex")}`);
    const descriptors = archives.map((tar) => put(mediaTypes.layerGzip, Bun.gzipSync(Uint8Array.from(tar))));
    const rootfs = { type: "layers", diff_ids: diffIds };
    const configDescriptor = putJson(mediaTypes.config, {
      created: "2024-01-01T00:00:00Z",
      ...platform,
      config,
      rootfs,
    });
    configs.push(configDescriptor);
    const manifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: configDescriptor,
      layers: descriptors,
    };
    return { ...putJson(mediaTypes.manifest, manifest), platform };
  });
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
  const descriptor = manifests.length === 1 ? manifests[0]! : putJson(mediaTypes.index, index);
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }));
  return { directory, descriptor, manifests, configs };
}

function toTar(content: LayerContent): Uint8Array {
  if (content instanceof Uint8Array) return content;
  return createTar(Object.entries(content).map(([name, data]) => ({ name, data, attrs: { mode: "755" } })));
}
