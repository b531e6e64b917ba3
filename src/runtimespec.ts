/** A container's record as an OCI runtime spec: what init carries out, and what other runtimes can read. */

import { dirname, join } from "node:path";
import { keptIdMap } from "./keep-id.ts";
import { defaultCapabilities } from "./ns/capabilities.ts";
import { getRlimit } from "./ns/sys/process.ts";
import type { IdMapping, RuntimeMount, RuntimeSpec } from "./spec.ts";
import type { ContainerMount } from "./storage/container-mount.ts";
import { type ContainerRecord, containerDir } from "./storage/containers.ts";
import { volumeData } from "./storage/volumes.ts";

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
      ...userMounts(record, host.dir),
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
      ...idMappings(record, host),
      devices: ["null", "zero", "full", "random", "urandom", "tty"].map((name) => ({
        type: "c",
        path: `/dev/${name}`,
      })),
      maskedPaths,
      readonlyPaths,
      sysctl: {
        ...(newNetwork && networkSysctls(record.userns?.gid ?? 0, countIds(host.gids) - 1)),
        ...(newNetwork && record.network.mode !== "none" && clientSysctls),
      },
      rootfsPropagation: record.mounts.some(isSlave) ? "slave" : "private",
    },
    annotations: { "pod.container.name": record.name, "pod.container.user": record.process.user },
  };
}

/** The container's ids as those of the user's namespace. */
export function idMappings({ userns }: Pick<ContainerRecord, "userns">, { uids, gids }: SpecIds) {
  if (!userns) return { uidMappings: oneToOne(uids), gidMappings: oneToOne(gids) };
  return { uidMappings: keptIdMap(uids, userns.uid), gidMappings: keptIdMap(gids, userns.gid) };
}

function oneToOne(mappings: IdMapping[]): IdMapping[] {
  return mappings.map(({ containerID, size }) => ({ containerID, hostID: containerID, size }));
}

function countIds(mappings: IdMapping[]): number {
  return mappings.reduce((sum, { size }) => sum + size, 0);
}

/**
 * As Docker sets them: any user may ping and listen on low ports, in a network that is the container's own. The kernel
 * compares the host's ids: `first` is who is the caller there, whose id comes before the subordinate ones.
 */
function networkSysctls(first: number, last: number): Record<string, string> {
  return { "net.ipv4.ping_group_range": `${first} ${last}`, "net.ipv4.ip_unprivileged_port_start": "0" };
}

/** Answers carry the mark of what they answer, as published ports want it: net/client-address.ts. */
const clientSysctls = { "net.ipv4.tcp_fwmark_accept": "1", "net.ipv4.fwmark_reflect": "1" };

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
      : { destination: "/sys", type: "bind", source: "/sys", options: ["rbind", ...quiet, "rro"] }, // sysfs belongs to the network namespace's owner
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

function userMounts({ mounts }: ContainerRecord, dir: string): RuntimeMount[] {
  return mounts
    .map((mount, index) => toRuntimeMount(mount, stagedMount(dir, index)))
    .toSorted((a, b) => a.destination.split("/").length - b.destination.split("/").length); // outer ones first
}

/** The host's later mounts are to arrive in it. */
function isSlave(mount: ContainerMount): boolean {
  return mount.type === "bind" && mount.propagation.endsWith("slave");
}

/** Where the monitor puts what is not simply a folder of the host: init binds it from there (container-mounts.ts). */
export function stagedMount(dir: string, index: number): string {
  return join(dir, "mounts", String(index));
}

/** `rro` is `ro` of all that is mounted below too. */
function toRuntimeMount(mount: ContainerMount, staged: string): RuntimeMount {
  const { type, destination, readonly } = mount;
  const bind = (source: string, ...options: string[]) => ({ destination, type: "bind", source, options });
  const recursive = readonly ? ["rbind", "rro"] : ["rbind"];
  if (type === "bind") {
    const propagation = mount.propagation === "rprivate" ? [] : [mount.propagation];
    const below = mount.recursive ? "rbind" : "bind";
    const access = readonly ? [mount.recursive && mount.recursiveReadonly ? "rro" : "ro"] : [];
    return bind(mount.source, below, ...access, ...mount.flags, ...propagation);
  }
  if (type === "volume") {
    return bind(mount.subpath === undefined ? volumeData(mount.name) : staged, ...recursive, ...mount.flags);
  }
  if (type === "tmpfs" && !mount.copy) return { destination, type: "tmpfs", source: "tmpfs", options: mount.options };
  return bind(staged, ...recursive);
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
