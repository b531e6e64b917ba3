/** Which storage driver a new container gets. */

import { join } from "node:path";
import { UsageError } from "./errors.ts";
import { probeOverlay } from "./ns/mountrootfs.ts";
import { bootId } from "./ns/sys/process.ts";
import { createSubvolume } from "./ns/sys/subvolume.ts";
import { type DriverName, driverNames } from "./storage/drivers.ts";
import { makeTemporaryDir, readJson, removeTree, writeJson } from "./storage/files.ts";
import { paths } from "./storage/store.ts";

/** What the user asked for, or by `auto` the best that works here. */
export function chooseDriver(wanted: string | undefined): DriverName {
  if (wanted === undefined || wanted === "auto") return probedDriver().driver;
  const driver = driverNames.find((name) => name === wanted);
  if (!driver) throw new UsageError(`unknown storage driver ${wanted}; there are ${driverNames.join(", ")} and auto`);
  return driver;
}

/** What the probe found. */
export const driverFile = join(paths.root, "driver.json");

export interface Probed {
  driver: DriverName;
  reason: string;
  /** What a better one would need; undefined for the best. */
  missing?: string;
}

/** Probed once a boot: the kernel or the file system below may be another one later. */
export function probedDriver(): Probed {
  const known = readJson<Probed & { bootId: string }>(driverFile);
  if (known?.bootId === bootId()) return known;
  const dir = makeTemporaryDir();
  const result = probe(dir);
  removeTree(dir);
  writeJson(driverFile, { bootId: bootId(), ...result });
  return result;
}

/** `vfs` is never chosen: a full copy for each container must be asked for. */
function probe(dir: string): Probed {
  const error = probeOverlay(dir);
  if (!error) return { driver: "overlay", reason: "the kernel's overlay works here" };
  const reason = `the kernel's overlay does not work here: ${error}`;
  const missing =
    "overlay needs Linux 5.13 and a store on ext4, xfs or btrfs (not NFS, not another overlay; tmpfs since 6.6)";
  if (canMakeSubvolume(dir)) return { driver: "btrfs", reason: `${reason}; subvolumes of btrfs do`, missing };
  return { driver: "fuse-overlayfs", reason, missing };
}

/** Whether the store lies on btrfs. */
function canMakeSubvolume(dir: string): boolean {
  try {
    createSubvolume(dir, "subvolume");
    return true;
  } catch {
    return false;
  }
}
