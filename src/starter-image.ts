/** The image that this program carries: runs where no registry is in reach. */

import { PodError } from "./errors.ts";
import { syncLayersLater } from "./later.ts";
import type { Descriptor, ImageConfig, Index, Manifest } from "./spec.ts";
import { putBlob } from "./storage/blobs.ts";
import { holdLease, type Image, putImage } from "./storage/images.ts";
import { extractLayer } from "./storage/layer-making.ts";
import { chainIds } from "./storage/layers.ts";
import { openStore } from "./storage/store.ts";

export const starterReference = "docker.io/library/starter:latest";

/** Puts it into the store under its name. It is an OCI image layout as a tar archive, made when pod was built. */
export async function loadStarter(): Promise<Image> {
  const [{ parseTar }, { starterArchive }] = await Promise.all([import("nanotar"), import("./starter.ts")]);
  const files = new Map(parseTar(await starterArchive()).map(({ name, data }) => [name.replace(/^\.\//, ""), data]));
  const read = (name: string): Uint8Array => {
    const data = files.get(name);
    if (!data) throw new PodError(`the starter image in this program lacks ${name}`);
    return data;
  };
  const readBlob = ({ digest }: Descriptor) => read(`blobs/${digest.replace(":", "/")}`);
  const parse = <T>(bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes)) as T;

  openStore();
  const [descriptor] = parse<Index>(read("index.json")).manifests;
  if (!descriptor) throw new PodError("the starter image in this program has no manifest");
  const manifest = parse<Manifest>(readBlob(descriptor));
  const { rootfs } = parse<ImageConfig>(readBlob(manifest.config));
  const chain = chainIds(rootfs.diff_ids);
  const lease = holdLease([
    descriptor.digest,
    manifest.config.digest,
    ...manifest.layers.map(({ digest }) => digest),
    ...chain,
  ]);
  try {
    for (const blob of [descriptor, manifest.config, ...manifest.layers]) putBlob(readBlob(blob));
    for (const [index, layer] of manifest.layers.entries()) {
      const source = async function* () {
        yield readBlob(layer);
      };
      const place = { diffId: rootfs.diff_ids[index]!, chainId: chain[index]!, parents: chain.slice(0, index) };
      await extractLayer(source(), { ...place, blob: layer.digest });
    }
    const image = putImage(descriptor, starterReference);
    syncLayersLater();
    return image;
  } finally {
    lease.release();
  }
}
