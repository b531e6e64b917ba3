/** What of the store is needed: names of blobs and layers, by who needs them. */

import { join } from "node:path";
import { readdirSync } from "../ns/sys/fs.ts";
import type { ImageConfig, Manifest } from "../spec.ts";
import { hasBlob, readJsonBlob } from "./blobs.ts";
import { type ContainerRecord, listContainers } from "./containers.ts";
import { changeIndex, type Image, readIndex } from "./images.ts";
import { chainIds, hasLayer, layerName } from "./layers.ts";
import { leasedNames } from "./leases.ts";
import { paths } from "./store.ts";

/** Digests of an image's manifest, config and layers, and the chainIds of its layers. */
export function partsOf({ digest, manifest, config }: Pick<Image, "digest" | "manifest" | "config">): string[] {
  const blobs = [manifest.config, ...manifest.layers].map((descriptor) => descriptor.digest);
  return [digest, ...blobs, ...chainIds(config.rootfs.diff_ids)];
}

/** Every blob and layer that is there. */
export function namesInStore(): string[] {
  const blobs = readdirSync(paths.blobs).flatMap((algorithm) =>
    readdirSync(join(paths.blobs, algorithm)).map((hex) => `${algorithm}:${hex}`),
  );
  return [...blobs, ...readdirSync(paths.layers).map(layerName)];
}

/** Whether the image is still recorded, with its extracted layers. */
export function canRun({ digest, config }: Image): boolean {
  const isRecorded = readIndex().manifests.some((entry) => entry.digest === digest);
  return isRecorded && chainIds(config.rootfs.diff_ids).every(hasLayer);
}

/** The same, and with all its blobs. */
export function isWhole(image: Image): boolean {
  const blobs = [image.manifest.config, ...image.manifest.layers];
  return canRun(image) && blobs.every(({ digest }) => hasBlob(digest));
}

/**
 * All that leases, containers and images name. Index entries whose manifest or config is gone leave the index. To be
 * called under `leasesLock`, and in this order: who goes from a lease to a record is seen in one of them.
 */
export function usedNames(): Set<string> {
  const used = leasedNames();
  // A container keeps its layers and its image's config; the rest of an image that was removed is not needed to run.
  for (const { record } of listContainers()) for (const name of namesOf(record)) used.add(name);
  const keep = ({ digest }: { digest: string }) => {
    const parts = partsInStore(digest);
    for (const name of parts ?? []) used.add(name);
    return parts !== undefined;
  };
  if (readIndex().manifests.map(keep).includes(false)) changeIndex((entries) => entries.filter(keep));
  return used;
}

/** Of its own image, and of those that are mounted into it. */
function namesOf({ image, layers, mounts }: ContainerRecord): string[] {
  const mounted = mounts.flatMap((mount) => (mount.type === "image" ? [mount.id, ...mount.layers] : []));
  return [image.id, ...layers, ...mounted];
}

function partsInStore(digest: string): string[] | undefined {
  const manifest = hasBlob(digest) ? readJsonBlob<Manifest>(digest) : undefined;
  if (!manifest || !hasBlob(manifest.config.digest)) return undefined;
  return partsOf({ digest, manifest, config: readJsonBlob<ImageConfig>(manifest.config.digest) });
}
