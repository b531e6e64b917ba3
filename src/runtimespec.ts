/** A container's record as an OCI runtime spec: what init carries out, and what other runtimes can read. */

import { dirname, join } from "node:path";
import { nestedMapping } from "./container-ids.ts";
import { defaultCapabilities } from "./ns/capabilities.ts";
import { getRlimit } from "./ns/sys/process.ts";
import { commonDevices, commonMounts, type IdMapping, type RuntimeMount, type RuntimeSpec } from "./spec.ts";
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
  const ids = idMappings(record, host);
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
      ...systemMounts(record, ids.gidMappings, newNetwork),
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
      ...ids,
      devices: commonDevices,
      maskedPaths,
      readonlyPaths,
      sysctl: {
        ...(newNetwork && networkSysctls(ids.gidMappings)),
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
  return { uidMappings: nestedMapping(userns, "uid", uids), gidMappings: nestedMapping(userns, "gid", gids) };
}

function oneToOne(mappings: IdMapping[]): IdMapping[] {
  return mappings.map(({ containerID, size }) => ({ containerID, hostID: containerID, size }));
}

/**
 * As Docker sets them: any user may ping and listen on low ports, in a network that is the container's own. The kernel
 * compares the host's ids: first comes the caller's, then the subordinate ones.
 */
function networkSysctls(gids: IdMapping[]): Record<string, string> {
  const [first, last] = [0, -1].map((index) => gids.toSorted((a, b) => a.hostID - b.hostID).at(index)!);
  const range = `${first!.containerID} ${last!.containerID + last!.size - 1}`;
  return { "net.ipv4.ping_group_range": range, "net.ipv4.ip_unprivileged_port_start": "0" };
}

/** Answers carry the mark of what they answer, as published ports want it: net/client-address.ts. */
const clientSysctls = { "net.ipv4.tcp_fwmark_accept": "1", "net.ipv4.fwmark_reflect": "1" };

/** The OCI defaults (runtime-spec config-linux.md) with Docker's options. */
function systemMounts(record: ContainerRecord, gids: IdMapping[], newNetwork: boolean): RuntimeMount[] {
  const quiet = ["nosuid", "noexec", "nodev"];
  return [
    ...commonMounts(gids),
    newNetwork
      ? { destination: "/sys", type: "sysfs", source: "sysfs", options: [...quiet, "ro"] }
      : { destination: "/sys", type: "bind", source: "/sys", options: ["rbind", ...quiet, "rro"] }, // sysfs belongs to the network namespace's owner
    ...(newNetwork
      ? [{ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...quiet, "relatime", "ro"] }]
      : []),
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
