/** Which storage driver a new container gets. */

import { join } from "node:path";
import { UsageError } from "./errors.ts";
import { probeOverlay } from "./ns/mountrootfs.ts";
import { bootId } from "./ns/sys/process.ts";
import { type DriverName, driverNames } from "./storage/drivers.ts";
import { makeTemporaryDir, readJson, removeTree, writeJson } from "./storage/files.ts";
import { paths } from "./storage/store.ts";

/** What the user asked for, or by `auto` the kernel's overlay where a mount of it works here, else fuse-overlayfs. */
export function chooseDriver(wanted: string | undefined): DriverName {
  if (wanted === undefined || wanted === "auto") return probedDriver().driver;
  const driver = driverNames.find((name) => name === wanted);
  if (!driver) throw new UsageError(`unknown storage driver ${wanted}; there are ${driverNames.join(", ")} and auto`);
  return driver;
}

/** What the probe found. */
export const driverFile = join(paths.root, "driver.json");

/** Probed once a boot: the kernel or the file system below may be another one later. */
export function probedDriver(): { driver: DriverName; reason: string } {
  const known = readJson<{ bootId: string; driver: DriverName; reason: string }>(driverFile);
  if (known?.bootId === bootId()) return known;
  const dir = makeTemporaryDir();
  const error = probeOverlay(dir);
  removeTree(dir);
  const result: { driver: DriverName; reason: string } = error
    ? { driver: "fuse-overlayfs", reason: `the kernel's overlay does not work here: ${error}` }
    : { driver: "overlay", reason: "the kernel's overlay works here" };
  writeJson(driverFile, { bootId: bootId(), ...result });
  return result;
}
