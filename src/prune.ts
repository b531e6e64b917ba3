/** Removal of what is not in use: `container prune`, `image prune`, `volume prune`, `system prune`. */

import { deleteAtRest, isActive } from "./ending.ts";
import { familiarName, parseReference } from "./reference.ts";
import { repairContainers } from "./repair.ts";
import { deleteContainer } from "./storage/container-deletion.ts";
import { ownBytes } from "./storage/container-files.ts";
import { type Container, type ContainerRecord, listContainers, passOver } from "./storage/containers.ts";
import { withLock } from "./storage/files.ts";
import { collectGarbage, deleteImage, type Image, isDangling, listImages } from "./storage/images.ts";
import { chainIds } from "./storage/layers.ts";
import { leasedNames, leasesLock } from "./storage/leases.ts";
import { allocatedBytes } from "./storage/usage.ts";
import { deleteUnusedVolumes, isAnonymous, type VolumeRecord, volumeDir } from "./storage/volumes.ts";

/** Removes the containers that do not run. `select` gives those of them that are meant. */
export function pruneContainers(select: (containers: Container[]) => Container[]): {
  deleted: string[];
  reclaimedBytes: number;
} {
  repairContainers();
  const deleted: string[] = [];
  let reclaimedBytes = 0;
  for (const { record } of select(listContainers(undefined, passOver).filter((container) => !isActive(container)))) {
    const bytes = ownBytes(record);
    if (!deleteAtRest(record.id, deleteContainer)) continue; // another command starts it
    reclaimedBytes += bytes;
    deleted.push(record.id);
  }
  return { deleted, reclaimedBytes };
}

/** Removes the volumes that no container uses, of them only those that nobody has named unless `all`. */
export function pruneVolumes({ all, select }: { all: boolean; select: (volumes: VolumeRecord[]) => VolumeRecord[] }): {
  deleted: string[];
  reclaimedBytes: number;
} {
  repairContainers();
  let reclaimedBytes = 0;
  const deleted = deleteUnusedVolumes((unused) => {
    const meant = select(all ? unused : unused.filter(isAnonymous));
    for (const { name } of meant) reclaimedBytes += allocatedBytes(volumeDir(name));
    return meant;
  });
  return { deleted: deleted.map(({ name }) => name), reclaimedBytes };
}

/**
 * Removes the images that no container uses, of them only the dangling unless `all`, and what nothing names. `lines`
 * are Docker's.
 */
export function pruneImages({ all, select }: { all: boolean; select: (images: Image[]) => Image[] }): {
  lines: string[];
  reclaimedBytes: number;
} {
  const removed = withLock(leasesLock, () => {
    const leased = leasedNames();
    const used = new Set(listContainers().flatMap(({ record }) => imagesOf(record)));
    const images = select(listImages()).filter(
      (image) => (all || isDangling(image)) && !used.has(image.id) && !leased.has(image.digest),
    );
    if (images.length) deleteImage(...images);
    return images;
  });
  const { deleted, reclaimedBytes } = collectGarbage({ measure: true });
  const gone = new Set(deleted);
  return { lines: removed.flatMap((image) => linesOf(image, gone)), reclaimedBytes };
}

/** Its own, and those that are mounted into it. */
function imagesOf({ image, mounts }: ContainerRecord): string[] {
  return [image.id, ...mounts.flatMap((mount) => (mount.type === "image" ? [mount.id] : []))];
}

/** A layer that several of the images had is told with the first. */
function linesOf(image: Image, gone: Set<string>): string[] {
  const layers = chainIds(image.config.rootfs.diff_ids).filter((chainId) => gone.delete(chainId));
  return [
    ...image.references.map((reference) => `untagged: ${familiarName(parseReference(reference))}`),
    ...[image.id, ...layers].map((digest) => `deleted: ${digest}`),
  ];
}
