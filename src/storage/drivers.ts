/** Storage drivers: how a container's layers become one writable tree. */

import { join } from "node:path";
import { PodError } from "../errors.ts";
import { containerDir } from "./containers.ts";
import { btrfsTree } from "./drivers/btrfs.ts";
import { vfsTree } from "./drivers/vfs.ts";
import { layerDir, layerLink } from "./layers.ts";
import { paths } from "./store.ts";

export type DriverName = "overlay" | "fuse-overlayfs" | "btrfs" | "vfs";
export const driverNames: DriverName[] = ["overlay", "fuse-overlayfs", "btrfs", "vfs"];

/** Drivers that mount nothing: the container has a plain tree of its own, which they make. */
const treeMakers: Partial<Record<DriverName, (container: { id: string; layers: string[] }) => string>> = {
  btrfs: btrfsTree,
  vfs: vfsTree,
};

/** What is to be mounted for one container: data, carried out by its monitor with the store's root as working directory. */
export interface RootfsMount {
  driver: DriverName;
  /** Where the tree appears. */
  target: string;
  /** Options for mount(2), or for fuse-overlayfs's -o. */
  options: string;
  /** The plain tree that appears there, of the drivers that have one. */
  tree?: string;
}

/**
 * Paths in the options are relative to the store's root, so that 127 layers fit into mount(2)'s one page. A plain tree is made first
 * where it is not there: for that, to be called in the user's namespace.
 */
export function rootfsMount(container: {
  id: string;
  layers: string[];
  driver: DriverName;
  autoRemove: boolean;
}): RootfsMount {
  const dir = `containers/${container.id}`;
  const target = join(paths.root, dir, "rootfs");
  const tree = treeMakers[container.driver]?.(container);
  if (tree) return { driver: container.driver, target, options: "", tree };
  const lower = container.layers.toReversed().map(layerLink).join(":") || `${dir}/empty`;
  const common = [`lowerdir=${lower}`, `upperdir=${dir}/upper`, `workdir=${dir}/work`];
  // A container that is removed at its end is never read after a power cut: no sync when it is unmounted.
  const volatile = container.autoRemove ? ["volatile"] : [];
  const options = container.driver === "overlay" ? [...common, "userxattr", ...volatile] : [...common, ...volatile];
  const joined = options.join(",");
  if (Buffer.byteLength(joined) > 4095) {
    throw new PodError(`${container.layers.length} layers do not fit into one mount`, {
      hint: "at most 127 layers are possible",
    });
  }
  return { driver: container.driver, target, options: joined };
}

/** The folders that a container's tree is merged of, from wherever one looks: its own, and its layers, the topmost first. */
export function rootfsFolders({ id, layers }: { id: string; layers: string[] }): { upper: string; lower: string[] } {
  return { upper: join(containerDir(id), "upper"), lower: layers.toReversed().map(layerDir) };
}
