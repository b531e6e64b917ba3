/**
 * What the store takes on disk, and what of it could be freed. Bytes are of allocated blocks, and what is shared counts once; but of
 * single images they are those of their files, as everywhere.
 */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ownBytes } from "./container-files.ts";
import { type Container, listContainers, passOver } from "./containers.ts";
import { isGivenUp } from "./garbage.ts";
import { type Image, layerSizes, listImages } from "./images.ts";
import { chainIds, layerName } from "./layers.ts";
import { paths } from "./store.ts";
import { allocatedBytes } from "./usage.ts";
import { partsOf } from "./used.ts";
import { listVolumes, type VolumeRecord, volumeData, volumeUsers } from "./volumes.ts";

export interface ImageUsage {
  image: Image;
  /** Of the files of its layers that other images have too; `image.sizeBytes` is the sum of all, as `images` tells it. */
  sharedBytes: number;
  /** Ids of the containers that use it. */
  containers: string[];
}

export interface ContainerUsage {
  container: Container;
  sizeBytes: number;
}

export interface VolumeUsage {
  volume: VolumeRecord;
  sizeBytes: number;
  /** Ids of the containers that use it. */
  containers: string[];
}

/** A kind of thing: how many there are, how many are in use, and what removing the others would free. */
export interface Total {
  total: number;
  active: number;
  sizeBytes: number;
  reclaimableBytes: number;
}

export interface DiskUsage {
  images: ImageUsage[];
  containers: ContainerUsage[];
  volumes: VolumeUsage[];
  totals: { images: Total; containers: Total; volumes: Total; partials: Total };
}

/** Looks at every file of the store: to be called in the user's namespace. */
export function diskUsage(): DiskUsage {
  const sizes = sizesByName();
  const containers = listContainers(undefined, passOver).map((container) => ({
    container,
    sizeBytes: ownBytes(container.record),
  }));
  const images = imageUsages(containers);
  const volumes = volumeUsages();
  const stopped = containers.filter(({ container }) => container.state.status !== "running");
  return {
    images,
    containers,
    volumes,
    totals: {
      images: imagesTotal(sizes, images, containers),
      containers: {
        total: containers.length,
        active: containers.length - stopped.length,
        sizeBytes: sum(containers.map(({ sizeBytes }) => sizeBytes)),
        reclaimableBytes: sum(stopped.map(({ sizeBytes }) => sizeBytes)),
      },
      volumes: {
        total: volumes.length,
        active: volumes.filter(isUsed).length,
        sizeBytes: sum(volumes.map(({ sizeBytes }) => sizeBytes)),
        reclaimableBytes: sum(volumes.map((usage) => (isUsed(usage) ? 0 : usage.sizeBytes))),
      },
      partials: partialsTotal(),
    },
  };
}

function volumeUsages(): VolumeUsage[] {
  const users = volumeUsers(passOver);
  return listVolumes().map((volume) => ({
    volume,
    sizeBytes: allocatedBytes(volumeData(volume.name)),
    containers: users.get(volume.name) ?? [],
  }));
}

function isUsed({ containers }: VolumeUsage): boolean {
  return containers.length > 0;
}

/** Bytes of each blob and layer that is there. An uncompressed lowest layer's blob and folder share a name. */
function sizesByName(): Map<string, number> {
  const sizes = new Map<string, number>();
  const add = (name: string, path: string) => sizes.set(name, (sizes.get(name) ?? 0) + allocatedBytes(path));
  for (const algorithm of readdirSync(paths.blobs)) {
    const folder = join(paths.blobs, algorithm);
    for (const hex of readdirSync(folder)) add(`${algorithm}:${hex}`, join(folder, hex));
  }
  for (const folder of readdirSync(paths.layers)) add(layerName(folder), join(paths.layers, folder));
  return sizes;
}

function imageUsages(containers: ContainerUsage[]): ImageUsage[] {
  const images = listImages().map((image) => ({ image, layers: chainIds(image.config.rootfs.diff_ids) }));
  const users = new Map<string, number>();
  for (const { layers } of images) for (const name of layers) users.set(name, (users.get(name) ?? 0) + 1);
  return images.map(({ image, layers }) => ({
    image,
    sharedBytes: sum(layerSizes(image).filter((_, index) => users.get(layers[index]!)! > 1)),
    containers: containers
      .filter(({ container }) => container.record.image.id === image.id)
      .map(({ container }) => container.record.id),
  }));
}

/** What nothing names any more belongs to images too: to those that were. */
function imagesTotal(sizes: Map<string, number>, images: ImageUsage[], containers: ContainerUsage[]): Total {
  const active = images.filter((usage) => usage.containers.length > 0);
  const kept = new Set([
    ...active.flatMap(({ image }) => partsOf(image)),
    ...containers.flatMap(({ container: { record } }) => [record.image.id, ...record.layers]),
  ]);
  const sizeBytes = sum([...sizes.values()]);
  return {
    total: images.length,
    active: active.length,
    sizeBytes,
    reclaimableBytes: sizeBytes - sumOf(sizes, [...kept]),
  };
}

function partialsTotal(): Total {
  const partials = readdirSync(paths.partials).map((name) => join(paths.partials, name));
  const givenUp = partials.filter(isGivenUp);
  return {
    total: partials.length,
    active: partials.length - givenUp.length,
    sizeBytes: sum(partials.map(allocatedBytes)),
    reclaimableBytes: sum(givenUp.map(allocatedBytes)),
  };
}

function sumOf(sizes: Map<string, number>, names: string[]): number {
  return sum(names.map((name) => sizes.get(name) ?? 0));
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
