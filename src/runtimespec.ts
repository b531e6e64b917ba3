/** A container's record as an OCI runtime spec: what init carries out, and what other runtimes can read. */

import { dirname, join } from "node:path";
import { defaultCapabilities } from "./ns/capabilities.ts";
import { getRlimit } from "./ns/sys/process.ts";
import type { IdMapping, RuntimeMount, RuntimeSpec } from "./spec.ts";
import { type ContainerRecord, containerDir } from "./storage/containers.ts";

/** What the user's namespace maps: the container maps the same ids, one to one. */
export interface SpecIds {
  uids: IdMapping[];
  gids: IdMapping[];
}

/** As it is carried out here, by a process with this one's limits. */
export function hostSpec(record: ContainerRecord, ids: SpecIds): RuntimeSpec {
  return toSpec(record, { ...ids, dir: containerDir(record.id), maxOpenFiles: getRlimit(7 /* RLIMIT_NOFILE */).hard });
}

/** What the host decides about a container; the rest is in its record. */
export interface SpecHost extends SpecIds {
  /** `containers/<id>`, absolute. */
  dir: string;
  /** This process's hard limit of open files. */
  maxOpenFiles: number;
}

export function toSpec(record: ContainerRecord, host: SpecHost): RuntimeSpec {
  const newNetwork = !["host", "container"].includes(record.network.mode);
  return {
    ociVersion: "1.1.0",
    process: {
      terminal: record.process.tty,
      user: { uid: 0, gid: 0, additionalGids: [], umask: 0o022 }, // resolved at start; see annotations
      args: record.process.args,
      env: record.process.env,
      cwd: record.process.workingDir,
      capabilities: {
        bounding: defaultCapabilities,
        effective: defaultCapabilities,
        permitted: defaultCapabilities,
        inheritable: [],
        ambient: [],
      },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: Math.min(1024, host.maxOpenFiles), hard: host.maxOpenFiles }],
      noNewPrivileges: false,
    },
    root: { path: join(host.dir, "rootfs"), readonly: record.readonlyRootfs },
    hostname: record.hostname,
    mounts: [
      ...systemMounts(record, countIds(host.gids), newNetwork),
      ...ownFiles(record, host.dir),
      ...userMounts(record),
    ],
    linux: {
      namespaces: [
        { type: "user" },
        { type: "pid" },
        { type: "mount" },
        { type: "ipc" },
        { type: "uts" },
        { type: "cgroup" },
        ...(newNetwork ? [{ type: "network" as const }] : []),
      ],
      uidMappings: oneToOne(host.uids),
      gidMappings: oneToOne(host.gids),
      devices: ["null", "zero", "full", "random", "urandom", "tty"].map((name) => ({
        type: "c",
        path: `/dev/${name}`,
      })),
      maskedPaths,
      readonlyPaths,
      sysctl: newNetwork ? networkSysctls(countIds(host.gids)) : {},
      rootfsPropagation: "private",
    },
    annotations: { "pod.container.name": record.name, "pod.container.user": record.process.user },
  };
}

function oneToOne(mappings: IdMapping[]): IdMapping[] {
  return mappings.map(({ containerID, size }) => ({ containerID, hostID: containerID, size }));
}

function countIds(mappings: IdMapping[]): number {
  return mappings.reduce((sum, { size }) => sum + size, 0);
}

/** As Docker sets them: any user may ping and listen on low ports, in a network that is the container's own. */
function networkSysctls(gids: number): Record<string, string> {
  return { "net.ipv4.ping_group_range": `0 ${gids - 1}`, "net.ipv4.ip_unprivileged_port_start": "0" };
}

/** The OCI defaults (runtime-spec config-linux.md) with Docker's options. */
function systemMounts(record: ContainerRecord, gids: number, newNetwork: boolean): RuntimeMount[] {
  const quiet = ["nosuid", "noexec", "nodev"];
  const terminalGroup = gids > 5 ? ["gid=5"] : []; // with one mapped id there is no group 5
  return [
    { destination: "/proc", type: "proc", source: "proc", options: quiet },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", ...terminalGroup],
    },
    newNetwork
      ? { destination: "/sys", type: "sysfs", source: "sysfs", options: [...quiet, "ro"] }
      : { destination: "/sys", type: "bind", source: "/sys", options: ["rbind", ...quiet, "ro"] }, // sysfs belongs to the network namespace's owner
    ...(newNetwork
      ? [{ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...quiet, "relatime", "ro"] }]
      : []),
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: quiet },
    {
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: [...quiet, "mode=1777", `size=${record.shmSizeBytes}`],
    },
  ];
}

/** Files of the container's record, seen as its own; or of that whose network it shares. */
function ownFiles({ network: { container } }: ContainerRecord, dir: string): RuntimeMount[] {
  return ["hosts", "hostname", "resolv.conf"].map((name) => ({
    destination: `/etc/${name}`,
    type: "bind",
    source: join(container === undefined ? dir : join(dirname(dir), container), name),
    options: ["bind"],
  }));
}

function userMounts(record: ContainerRecord): RuntimeMount[] {
  return [
    ...record.binds.map(({ source, destination, readonly }) => ({
      destination,
      type: "bind",
      source,
      options: ["rbind", ...(readonly ? ["ro"] : [])],
    })),
    ...record.tmpfs.map(({ destination, options }) => ({ destination, type: "tmpfs", source: "tmpfs", options })),
  ].toSorted((a, b) => a.destination.split("/").length - b.destination.split("/").length); // outer ones first
}

// Docker's and containerd's lists.
export const maskedPaths = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
export const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
