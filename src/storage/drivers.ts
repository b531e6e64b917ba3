/** Storage drivers: how a container's layers become one writable tree. */

import { join } from "node:path";
import { PodError } from "../errors.ts";
import { containerDir } from "./containers.ts";
import { layerDir, layerLink } from "./layers.ts";
import { paths } from "./store.ts";

export type DriverName = "overlay" | "fuse-overlayfs";
export const driverNames: DriverName[] = ["overlay", "fuse-overlayfs"];

/** What is to be mounted for one container: data, carried out by its monitor with the store's root as working directory. */
export interface RootfsMount {
  driver: DriverName;
  /** Where the tree appears. */
  target: string;
  /** Options for mount(2), or for fuse-overlayfs's -o. */
  options: string;
}

/** Paths in the options are relative to the store's root, so that 127 layers fit into mount(2)'s one page. */
export function rootfsMount(container: {
  id: string;
  layers: string[];
  driver: DriverName;
  autoRemove: boolean;
}): RootfsMount {
  const dir = `containers/${container.id}`;
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
  return { driver: container.driver, target: join(paths.root, dir, "rootfs"), options: joined };
}

/** The folders that a container's tree is merged of, from wherever one looks: its own, and its layers, the topmost first. */
export function rootfsFolders({ id, layers }: { id: string; layers: string[] }): { upper: string; lower: string[] } {
  return { upper: join(containerDir(id), "upper"), lower: layers.toReversed().map(layerDir) };
}
