/** `image mount`: an image's files, read-only, in the mount namespace of a `pod unshare`. What is mounted is the kernel's knowledge; there are no records. */

import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { basename, join } from "node:path";
import { config } from "./config.ts";
import { chooseDriver, probedDriver } from "./driver.ts";
import { PodError } from "./errors.ts";
import { resolve } from "./image.ts";
import { AT_FDCWD, MOUNT_ATTR_RDONLY, MS_RDONLY, O_PATH, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE } from "./ns/constants.ts";
import { close, open } from "./ns/sys/file.ts";
import { mount, moveMount, openTree, setMountAttributes, umount } from "./ns/sys/namespace.ts";
import { treeOfLayers } from "./storage/drivers/btrfs.ts";
import { chainIds, layerDir, layerLink, whole } from "./storage/layers.ts";
import { paths } from "./storage/store.ts";

export interface MountedImage {
  id: string;
  path: string;
}

/** Mounts it, if it is not mounted, and tells where. PodError outside of `pod unshare`. */
export async function mountImage(text: string): Promise<string> {
  const mounted = mountedImages();
  const image = await resolve(text);
  const path = pathOf(image.id);
  if (mounted.some(({ id }) => id === image.id)) return path;
  mkdirSync(path, { recursive: true, mode: 0o700 });
  mountLayers(whole(chainIds(image.config.rootfs.diff_ids)), path);
  return path;
}

/** Where the driver needs no overlay for containers, none is made where that can be. */
function mountLayers(layers: string[], path: string): void {
  const driver = chooseDriver(config.storageDriver);
  if (driver === "btrfs") return bindReadOnly(treeOfLayers(layers)!, path);
  if (driver === "vfs" && layers.length === 1) return bindReadOnly(layerDir(layers[0]!), path);
  // Without a writable layer an overlay needs two at least: the second is the empty folder that is mounted on.
  const lower = `lowerdir=${[...layers.toReversed().map(layerLink), `mounts/${basename(path)}`].join(":")}`;
  process.chdir(paths.root);
  const usesKernel = driver === "overlay" || (driver === "vfs" && probedDriver().driver === "overlay");
  if (usesKernel) mount("overlay", path, "overlay", MS_RDONLY, `${lower},userxattr`);
  else mountFuse(path, `${lower},ro`);
}

function bindReadOnly(source: string, path: string): void {
  const target = open(path, O_PATH);
  const clone = openTree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  setMountAttributes(clone, { set: MOUNT_ATTR_RDONLY }, path);
  moveMount(clone, target, path);
  close(clone);
  close(target);
}

/** fuse-overlayfs goes to the background, and ends with its mount. */
function mountFuse(path: string, options: string): void {
  const program = Bun.which("fuse-overlayfs", { PATH: config.path });
  if (!program) throw new PodError("fuse-overlayfs is not installed");
  const { exitCode, stderr } = Bun.spawnSync([program, "-o", options, path], { cwd: paths.root, stderr: "pipe" });
  if (exitCode !== 0) throw new PodError(`mount ${path}: ${stderr.toString().trim()}`);
}

/** Those mounted in this mount namespace: proc(5), mountinfo. PodError outside of `pod unshare`, whose namespace nobody else has. */
export function mountedImages(): MountedImage[] {
  if (config.uid !== 0 || config.isHostRoot) {
    throw new PodError('cannot run command "pod image mount" in rootless mode, must execute `pod unshare` first');
  }
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "");
  return points
    .filter((point) => point.startsWith(`${paths.mounts}/`))
    .map((path) => ({ id: `sha256:${basename(path)}`, path }));
}

/** Takes the mount off, and tells the image's id. PodError where it is not mounted. */
export async function unmountImage(text: string): Promise<string> {
  const mounted = mountedImages();
  const { id } = await resolve(text);
  if (!mounted.some((each) => each.id === id)) throw new PodError(`image ${text} is not mounted`);
  umount(pathOf(id), 0);
  rmdirSync(pathOf(id));
  return id;
}

function pathOf(id: string): string {
  return join(paths.mounts, id.replace(/^.*:/, ""));
}
