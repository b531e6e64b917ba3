/** Storage drivers: how a container's layers become one writable tree. */

import { join } from "node:path";
import { type ContainerIds, fuseMapping, innerOwner, type OwnerMap, outerOwner, sameOwner } from "../container-ids.ts";
import { PodError } from "../errors.ts";
import { chmodSync, chownSync, existsSync, mkdirSync, statSync } from "../ns/sys/fs.ts";
import { containerDir } from "./containers.ts";
import { makeBtrfsTree } from "./drivers/btrfs.ts";
import { makeVfsTree } from "./drivers/vfs.ts";
import { layerDir, layerLink, whole } from "./layers.ts";
import { paths } from "./store.ts";
import { treeName } from "./trees.ts";

export type DriverName = "overlay" | "fuse-overlayfs" | "btrfs" | "vfs";
export const driverNames: DriverName[] = ["overlay", "fuse-overlayfs", "btrfs", "vfs"];

/** Drivers that merge nothing: the container has a plain tree of its own, which they make. */
const treeMakers: Partial<Record<DriverName, (layers: string[], folder: string) => void>> = {
  btrfs: makeBtrfsTree,
  vfs: makeVfsTree,
};

/** Whether its containers have no layer of their own, but a tree of all their files. */
export function hasOwnTree(driver: DriverName): boolean {
  return driver in treeMakers;
}

/** What is to be mounted for one container: data, carried out by its monitor with the store's root as working directory. */
export interface RootfsMount {
  driver: DriverName;
  /** Where the tree appears. */
  target: string;
  /** Options for mount(2), or for fuse-overlayfs's -o. */
  options: string;
  /** The plain tree that appears there, of the drivers that have one. */
  tree?: string;
  /** What is mounted first: the layers as the only lower one of the kernel's overlay, with the owners that `--userns` asks for. */
  lower?: RootfsMount;
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
  userns?: ContainerIds;
}): RootfsMount {
  const dir = `containers/${container.id}`;
  const target = join(paths.root, dir, "rootfs");
  const makeTree = treeMakers[container.driver];
  if (makeTree) {
    const tree = treeOf(container.id);
    try {
      if (!existsSync(tree)) makeTree(whole(container.layers), containerDir(container.id));
    } catch (error) {
      if (!existsSync(tree)) throw error; // else another command was quicker
    }
    return { driver: container.driver, target, options: "", tree };
  }
  const mapped = mappedLayers(container);
  const layers = whole(container.layers).toReversed().map(layerLink).join(":") || `${dir}/empty`;
  const common = [`lowerdir=${mapped ? `${dir}/lower` : layers}`, `upperdir=${dir}/upper`, `workdir=${dir}/work`];
  // A container that is removed at its end is never read after a power cut: no sync when it is unmounted.
  const volatile = container.autoRemove ? ["volatile"] : [];
  const own = container.driver === "overlay" ? ["userxattr"] : mappingOptions(container.userns);
  const options = [...common, ...own, ...volatile];
  const joined = options.join(",");
  if (Buffer.byteLength(joined) > 4095) {
    throw new PodError(`${container.layers.length} layers do not fit into one mount`, {
      hint: "at most 127 layers are possible",
    });
  }
  return { driver: container.driver, target, options: joined, ...(mapped && { lower: mapped }) };
}

/**
 * The kernel's overlay maps no ids for an ordinary user: fuse-overlayfs shows it the layers, with other owners. What the
 * container writes goes to the kernel's own, and no file is copied for this.
 */
function mappedLayers({ id, driver, layers, userns }: Parameters<typeof rootfsMount>[0]): RootfsMount | undefined {
  if (!userns || driver !== "overlay") return undefined;
  return imageMount({ id, driver, layers, index: 0, target: join(containerDir(id), "lower"), userns });
}

/** An image that is mounted into a container, read-only, at `target`; what has no overlay has a tree beside the container's own. */
export function imageMount(what: {
  id: string;
  driver: DriverName;
  layers: string[];
  index: number;
  target: string;
  userns?: ContainerIds;
}): RootfsMount {
  const { target } = what;
  const driver = what.userns ? "fuse-overlayfs" : what.driver;
  const makeTree = treeMakers[driver];
  if (makeTree) {
    const folder = join(containerDir(what.id), "images", String(what.index));
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const tree = join(folder, treeName);
    if (!existsSync(tree)) makeTree(whole(what.layers), folder);
    return { driver, target, options: "", tree };
  }
  // Without a writable layer an overlay needs two at least: the second is empty.
  const lower = [...whole(what.layers).toReversed().map(layerLink), `containers/${what.id}/empty`].join(":");
  const own = driver === "overlay" ? ["userxattr"] : ["ro", ...mappingOptions(what.userns)];
  return { driver, target, options: [`lowerdir=${lower}`, ...own].join(",") };
}

function mappingOptions(userns: ContainerIds | undefined): string[] {
  return userns ? [`uidmapping=${fuseMapping(userns, "uid")}`, `gidmapping=${fuseMapping(userns, "gid")}`] : [];
}

/** The folders that a container's tree is merged of, from wherever one looks. */
export interface RootfsFolders {
  /** Its own. */
  upper: string;
  /** Its layers, the topmost first. */
  lower: string[];
  /** Its own folder is a plain tree that shows everything, and its layers nothing. */
  isWhole: boolean;
  /** Who an owner in the container's own folder is in its layers. */
  ownerOf: OwnerMap;
}

/** A plain tree is not there before the container has run, or files were copied into it. */
export function rootfsFolders(container: {
  id: string;
  layers: string[];
  driver: DriverName;
  userns?: ContainerIds;
}): RootfsFolders {
  const { id, layers, userns } = container;
  const isWhole = existsSync(treeOf(id));
  return {
    upper: isWhole ? treeOf(id) : join(containerDir(id), "upper"),
    lower: layers.toReversed().map(layerDir),
    isWhole,
    // fuse-overlayfs maps what it writes, too
    ownerOf: userns && container.driver === "overlay" ? (owner) => innerOwner(owner, userns) : sameOwner,
  };
}

function treeOf(id: string): string {
  return join(containerDir(id), treeName);
}

/** An overlay shows the upper folder's own owner and mode as those of `/`: they are to be the image's. */
export function takeRootAttributes(container: {
  id: string;
  layers: string[];
  driver: DriverName;
  userns?: ContainerIds;
}): void {
  const top = container.layers.at(-1);
  if (!top) return;
  const { mode, ...status } = statSync(layerDir(top));
  const { uid, gid } = container.driver === "overlay" ? (outerOwner(status, container.userns) ?? status) : status;
  const upper = join(containerDir(container.id), "upper");
  chownSync(upper, uid, gid);
  chmodSync(upper, mode & 0o7777);
}
