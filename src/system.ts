/** What `pod info` tells, and `pod system reset`. */

import { availableParallelism, release, totalmem } from "node:os";
import { config } from "./config.ts";
import { remove } from "./container.ts";
import { chooseDriver, driverFile, probedDriver } from "./driver.ts";
import { ConflictError } from "./errors.ts";
import { missingForPing } from "./networks.ts";
import { planCgroup } from "./ns/cgroup.ts";
import { readFileSync, rmSync } from "./ns/sys/fs.ts";
import { repairContainers } from "./repair.ts";
import { listContainers, passOver } from "./storage/containers.ts";
import { removeTree, withLock } from "./storage/files.ts";
import { listSummaries } from "./storage/images.ts";
import { leaseHolders, leasesLock } from "./storage/leases.ts";
import { openStore, paths } from "./storage/store.ts";
import { build } from "./version.ts";

/** Docker's field names, and a few of pod's own. `MemTotal` in bytes; id mappings are the lines of /proc/PID/uid_map. */
export function systemInfo() {
  const containers = listContainers(undefined, passOver);
  const alive = containers.filter(({ state }) => state.status === "running");
  const paused = alive.filter(({ state }) => state.paused).length;
  const probed = probedDriver();
  const driver = chooseDriver(config.storageDriver);
  const cgroup = planCgroup("PID");
  return {
    Containers: containers.length,
    ContainersRunning: alive.length - paused,
    ContainersPaused: paused,
    ContainersStopped: containers.length - alive.length,
    Images: listSummaries().length,
    Driver: driver,
    DriverReason: driver === probed.driver ? probed.reason : "asked for by STORAGE_DRIVER",
    DriverMissing: driver === probed.driver ? probed.missing : `auto takes ${probed.driver}: ${probed.reason}`,
    CgroupDriver: cgroup.path === undefined ? "none" : "cgroupfs",
    CgroupParent: cgroup.path?.replace(/\/[^/]*$/, ""),
    CgroupMissing: cgroup.missing,
    PingMissing: missingForPing(),
    KernelVersion: release(),
    OperatingSystem: operatingSystem(),
    OSType: build.os,
    Architecture: process.arch === "x64" ? "x86_64" : "aarch64",
    NCPU: availableParallelism(),
    MemTotal: totalmem(),
    DockerRootDir: paths.root,
    Name: readFileSync("/proc/sys/kernel/hostname", "utf8").trim(),
    ServerVersion: build.version,
    Rootless: !config.isHostRoot,
    UIDMappings: mappings("uid"),
    GIDMappings: mappings("gid"),
  };
}

function operatingSystem(): string {
  for (const file of ["/etc/os-release", "/usr/lib/os-release"]) {
    try {
      const name = /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(readFileSync(file, "utf8"))?.[1];
      if (name) return name;
    } catch {} // os-release(5): both are optional
  }
  return "Linux";
}

/** user_namespaces(7): ids inside, the same outside, how many. */
function mappings(kind: "uid" | "gid") {
  const lines = readFileSync(`/proc/self/${kind}_map`, "utf8").trim().split("\n");
  return lines.map((line) => {
    const [ContainerID, HostID, Size] = line.trim().split(/\s+/).map(Number);
    return { ContainerID, HostID, Size };
  });
}

const patienceSeconds = 10;

/**
 * Ends and removes all containers, then all images and what else the store holds. The empty store stays. ConflictError
 * where another command is bringing something, and goes on with it for ten seconds.
 */
export async function reset(): Promise<void> {
  const deadline = performance.now() + patienceSeconds * 1000;
  for (;;) {
    repairContainers();
    for (const id of containerIds()) remove(id, { force: true });
    const holders = withLock(leasesLock, clearUnlessUsed);
    if (!holders) return;
    if (performance.now() > deadline) {
      throw new ConflictError(
        `the store is in use by ${holders.length ? `process ${holders.join(", ")}` : "new containers"}`,
        {
          hint: "wait until that command has ended, or end it, then try again",
        },
      );
    }
    await Bun.sleep(50);
  }
}

function containerIds(): string[] {
  const damaged: string[] = [];
  const whole = listContainers(undefined, ({ id }) => damaged.push(id));
  return [...whole.map(({ record }) => record.id), ...damaged];
}

/**
 * Who brings something into the store has a lease, and gets none while this runs: nor is there another container then.
 * Returns their pids where it did nothing.
 */
function clearUnlessUsed(): number[] | undefined {
  const holders = leaseHolders();
  if (holders.length > 0 || containerIds().length > 0) return holders;
  const { containers, names, networks, volumes, secrets, lists, layers, links, blobs, partials, temporary } = paths;
  const folders = [containers, names, networks, volumes, secrets, lists, layers, links, blobs, partials, temporary];
  for (const folder of folders) removeTree(folder);
  for (const file of [paths.index, driverFile, paths.events, `${paths.events}.old`]) rmSync(file, { force: true });
  openStore();
  return undefined;
}
