/**
 * The container's file system, from inside its mount namespace: mounts of the OCI spec, devices, masks, pivot_root.
 * Every target is opened below the new root by openat2(2) and mounted on by descriptor, so no symlink of an image
 * leads a mount elsewhere (CVE-2021-30465).
 */

import { CommandError, PodError } from "../errors.ts";
import { commonDevices, commonMounts, type RuntimeMount, type RuntimeSpec } from "../spec.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  MNT_DETACH,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MS_BIND,
  MS_NOATIME,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_STRICTATIME,
  MS_UNBINDABLE,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  S_IFCHR,
  S_IFDIR,
  S_IFMT,
} from "./constants.ts";
import { writeAll } from "./sys/descriptor.ts";
import { close, mkdirAt, openAt, openAt2, statAt, symlinkAt, unlinkAt } from "./sys/file.ts";
import { mount, moveMount, openTree, pivotRoot, setMountAttributes, umount, unlessErrno } from "./sys/namespace.ts";
import { mappedIds } from "./userns.ts";

/** What is mounted already below the folder behind `root`, in nobody's sight. */
export interface CommonMounts {
  root: number;
  mounts: RuntimeMount[];
}

/**
 * What every container has in /proc and /dev, before it is known what will run. It hides a folder of the store's that this
 * process does not need, and goes with the old root where it is not used.
 */
export function mountCommon(dataDir: string, at: (step: string) => void): CommonMounts {
  const hidden = `${dataDir}/locks`;
  at(`mount what every container has on ${hidden}`);
  mount("tmpfs", hidden, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755");
  mount("none", hidden, "", MS_UNBINDABLE); // else `-v` of a folder above the store would bring it in, with nothing masked
  const root = openAt(AT_FDCWD, hidden, O_RDONLY | O_DIRECTORY);
  const mounts = commonMounts(mappedIds("gid"));
  mountAll(root, mounts, new Map(), at);
  at("make the devices");
  makeDevices(root, commonDevices);
  return { root, mounts };
}

/** What the container gets of the host's files, as descriptors. */
export interface HostFiles {
  /** The root file system. */
  root: number;
  /** Detached copies of the mounts that are bound, by their entries. */
  sources: Map<RuntimeMount, number>;
}

/** To be called as the caller, to whom they belong: the container's root may be nobody there. `at` names the step. */
export function openHostFiles(spec: RuntimeSpec, at: (step: string) => void): HostFiles {
  const rootPath = spec.root.path;
  at(`bind the root file system ${rootPath}`);
  mount(rootPath, rootPath, "", MS_BIND | MS_REC); // a mount of our own, or pivot_root is EINVAL: the copied ones are locked
  const root = openAt(AT_FDCWD, rootPath, O_RDONLY | O_DIRECTORY);
  setMountAttributes(root, { propagation: MS_PRIVATE, recursive: true }, rootPath);
  const sources = new Map<RuntimeMount, number>();
  for (const entry of spec.mounts.filter(({ type }) => type === "bind")) {
    at(`mount ${entry.destination}`);
    sources.set(entry, cloneSource(entry));
  }
  return { root, sources };
}

/** Mounts all of the spec onto the root file system, and makes it `/`. */
export function enterRootfs(
  spec: RuntimeSpec,
  { root, sources }: HostFiles,
  common: CommonMounts | undefined,
  at: (step: string) => void,
): void {
  const isCommon = common !== undefined && beginsWith(spec, common.mounts);
  if (isCommon) for (const path of ["/proc", "/dev"]) moveInside(common.root, root, path, at);
  if (common) close(common.root);
  mountAll(root, isCommon ? spec.mounts.slice(common.mounts.length) : spec.mounts, sources, at);
  at("make the devices");
  if (!isCommon && !spec.mounts.some(isOwnDev)) makeDevices(root, spec.linux.devices);
  at("write sysctls");
  for (const [name, value] of Object.entries(spec.linux.sysctl)) writeSysctl(root, name, value);
  for (const path of spec.linux.readonlyPaths) {
    at(`make ${path} read-only`);
    makeReadOnly(root, path);
  }
  for (const path of spec.linux.maskedPaths) {
    at(`mask ${path}`);
    mask(root, path);
  }
  at("make the root file system the root");
  if (spec.root.readonly) setRootReadOnly(root);
  process.chdir(`/proc/self/fd/${root}`);
  pivotRoot(".", "."); // pivot_root(2): the old root lies on top of the new one, and is taken off
  umount(".", MNT_DETACH);
  process.chdir("/");
  close(root);
}

function mountAll(
  root: number,
  mounts: RuntimeMount[],
  sources: HostFiles["sources"],
  at: (step: string) => void,
): void {
  for (const entry of mounts) {
    at(`mount ${entry.destination}`);
    const source = sources.get(entry);
    if (source !== undefined) bindInside(root, entry, source);
    else mountInside(root, entry);
  }
}

/** The rest must leave /dev as it is: devices come last, over what the user mounts there. */
function beginsWith({ mounts, linux }: RuntimeSpec, common: RuntimeMount[]): boolean {
  const [first, rest] = [mounts.slice(0, common.length), mounts.slice(common.length)];
  const isInDev = ({ destination }: RuntimeMount) => /^\/dev(\/|$)/.test(destination) && destination !== "/dev/shm";
  return Bun.deepEquals(first, common) && Bun.deepEquals(linux.devices, commonDevices) && !rest.some(isInDev);
}

function moveInside(from: number, root: number, path: string, at: (step: string) => void): void {
  at(`move ${path}`);
  const [source, target] = [openTarget(from, path, true, true), openTarget(root, path, true, true)];
  moveMount(source, target, path);
  close(source);
  close(target);
}

/** A folder of the user's there is complete, and nothing is made or replaced in it, as with runc. */
function isOwnDev({ type, destination }: RuntimeMount): boolean {
  return type === "bind" && destination === "/dev";
}

/** Here a symlink of the image is refused; the user's own mounts may follow links within the root, as Docker's do. */
const systemTargets = ["/proc", "/sys", "/dev"];

function mountInside(root: number, entry: RuntimeMount): void {
  const { flags, data } = parseMountOptions(entry.options);
  refuseInProc(entry);
  const strict = systemTargets.some((path) => entry.destination.startsWith(path));
  const target = openTarget(root, entry.destination, true, strict);
  try {
    checkOutsideProc(root, target, entry);
    const type = entry.type === "cgroup" ? "cgroup2" : entry.type;
    const action = () => mount(entry.source, `/proc/self/fd/${target}`, type, flags, data.join(","));
    if (entry.type === "cgroup")
      unlessErrno(["EPERM", "EBUSY", "ENODEV"], action); // a host without cgroup v2: stays empty
    else action();
  } finally {
    close(target);
  }
}

function cloneSource({ source, options }: RuntimeMount): number {
  const recursive = options.includes("rbind");
  return openTree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
}

/** Sets the flags of cloned mounts while nobody sees them, and attaches them by descriptor, which is closed. */
function bindInside(root: number, entry: RuntimeMount, clone: number): void {
  try {
    refuseInProc(entry);
    const attributes: [string, number][] = [
      ["ro", MOUNT_ATTR_RDONLY],
      ["rro", MOUNT_ATTR_RDONLY],
      ["nosuid", MOUNT_ATTR_NOSUID],
      ["nodev", MOUNT_ATTR_NODEV],
      ["noexec", MOUNT_ATTR_NOEXEC],
    ];
    const set = attributes.filter(([name]) => entry.options.includes(name)).reduce((all, [, flag]) => all | flag, 0);
    if (set) setMountAttributes(clone, { set, recursive: entry.options.includes("rro") }, entry.destination);
    if (!isSlave(entry)) setMountAttributes(clone, { propagation: MS_PRIVATE, recursive: true }, entry.destination);
    const isDirectory = (statAt(clone, "").mode & S_IFMT) === S_IFDIR;
    const target = openTarget(root, entry.destination, isDirectory, false);
    try {
      checkOutsideProc(root, target, entry);
      checkKind(entry, target, isDirectory);
      moveMount(clone, target, entry.destination);
    } finally {
      close(target);
    }
  } finally {
    close(clone);
  }
}

/** What lxcfs and its like show in place of the kernel's: runc's list. */
const replaceableInProc =
  /^\/proc\/(cpuinfo|diskstats|meminfo|stat|swaps|uptime|loadavg|slabinfo|sys\/kernel\/ns_last_pid|sys\/crypto\/fips_enabled)$/;

function refuseInProc(entry: RuntimeMount): void {
  if (/^\/proc(\/|$)/.test(entry.destination) && !isAllowedInProc(entry)) throw insideProc(entry);
}

function isAllowedInProc({ type, source, destination }: RuntimeMount): boolean {
  return type === "proc" || (source === "/proc" && destination === "/proc") || replaceableInProc.test(destination);
}

/** Also where a symlink of the image has led there: what lies over /proc would hide from us what is masked (CVE-2019-16884). */
function checkOutsideProc(root: number, target: number, entry: RuntimeMount): void {
  const proc = isAllowedInProc(entry)
    ? undefined
    : tryOpen(root, "proc", O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  if (proc === undefined) return;
  const isInside = statAt(proc, "").mountId === statAt(target, "").mountId;
  close(proc);
  if (isInside) throw insideProc(entry);
}

function insideProc({ destination }: RuntimeMount): PodError {
  return new PodError(`${JSON.stringify(destination)} cannot be mounted because it is inside /proc`);
}

/** The host's later mounts arrive in it. */
function isSlave({ options }: RuntimeMount): boolean {
  return options.includes("slave") || options.includes("rslave");
}

/** The kernel takes a file over a file, a directory over a directory. The exit code is Docker's. */
function checkKind({ source, destination }: RuntimeMount, target: number, isDirectory: boolean): void {
  if (((statAt(target, "").mode & S_IFMT) === S_IFDIR) === isDirectory) return;
  const [over, under] = isDirectory ? ["a directory", "is none"] : ["not a directory", "is one"];
  throw new CommandError(`mount ${source} on ${destination}: the source is ${over}, and the destination ${under}`, 127);
}

const mountFlags: Record<string, number> = {
  ro: MS_RDONLY,
  nosuid: MS_NOSUID,
  nodev: MS_NODEV,
  noexec: MS_NOEXEC,
  relatime: MS_RELATIME,
  strictatime: MS_STRICTATIME,
  noatime: MS_NOATIME,
};

/** Words of mount(8) as mount(2) takes them. */
export function parseMountOptions(options: string[]): { flags: number; data: string[] } {
  const words = options.filter((option) => !["rw", "rbind", "bind", "exec", "suid", "dev"].includes(option));
  return {
    flags: words.reduce((all, word) => all | (mountFlags[word] ?? 0), 0),
    data: words.filter((word) => mountFlags[word] === undefined),
  };
}

/** An O_PATH descriptor of the mount target, made where it is missing; parents are made as 0755 directories. */
function openTarget(root: number, path: string, isDirectory: boolean, strict: boolean): number {
  const resolve = strict ? RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS : RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const existing = tryOpen(root, path, O_PATH, resolve);
  if (existing !== undefined) return existing;
  const parts = path.split("/").filter(Boolean);
  for (let depth = 1; depth <= parts.length; depth++) {
    const sofar = parts.slice(0, depth).join("/");
    const found = tryOpen(root, sofar, O_PATH, resolve);
    if (found !== undefined) {
      close(found);
      continue;
    }
    const parent = openAt2(root, parts.slice(0, depth - 1).join("/") || ".", O_PATH | O_DIRECTORY, resolve);
    try {
      if (depth < parts.length || isDirectory) mkdirAt(parent, parts[depth - 1]!, 0o755);
      else close(openAt(parent, parts[depth - 1]!, O_CREAT | O_NOFOLLOW | O_RDONLY, 0o644));
    } finally {
      close(parent);
    }
  }
  return openAt2(root, path, O_PATH, resolve);
}

function tryOpen(root: number, path: string, flags: number, resolve: number): number | undefined {
  let fd: number | undefined;
  unlessErrno(["ENOENT"], () => {
    fd = openAt2(root, path, flags, resolve);
  });
  return fd;
}

/** mknod of devices is EPERM in a user namespace, so the host's are bound. Links as in the OCI spec's "Default Devices". */
function makeDevices(root: number, devices: { path: string }[]): void {
  for (const { path } of devices) {
    const entry = { destination: path, type: "bind", source: path, options: ["bind"] };
    bindInside(root, entry, cloneSource(entry));
  }
  const dev = openAt2(root, "dev", O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  const links = {
    ptmx: "pts/ptmx",
    fd: "/proc/self/fd",
    stdin: "/proc/self/fd/0",
    stdout: "/proc/self/fd/1",
    stderr: "/proc/self/fd/2",
    core: "/proc/kcore",
  };
  for (const [name, target] of Object.entries(links)) {
    unlessErrno(["ENOENT"], () => unlinkAt(dev, name));
    symlinkAt(target, dev, name);
  }
  close(dev);
}

/** `net.ipv4.x` → /proc/sys/net/ipv4/x of the container's own proc. A name that its namespaces do not have is an error. */
function writeSysctl(root: number, name: string, value: string): void {
  const fd = openAt2(root, `proc/sys/${name.replaceAll(".", "/")}`, O_WRONLY, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  try {
    writeAll(fd, Buffer.from(value));
  } finally {
    close(fd);
  }
}

function makeReadOnly(root: number, path: string): void {
  const target = tryOpen(root, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  if (target === undefined) return; // this kernel does not have it
  const clone = openTree(target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
  setMountAttributes(clone, { set: MOUNT_ATTR_RDONLY, recursive: true }, path);
  moveMount(clone, target, path);
  close(clone);
  close(target);
}

/** A masked file is the host's /dev/null, a masked folder an empty read-only tmpfs. */
function mask(root: number, path: string): void {
  const target = tryOpen(root, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  if (target === undefined) return;
  if ((statAt(target, "").mode & S_IFMT) === S_IFDIR) {
    mount(
      "tmpfs",
      `/proc/self/fd/${target}`,
      "tmpfs",
      MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
      "size=0k,nr_inodes=2",
    );
  } else {
    const nullFd = openAt(AT_FDCWD, "/dev/null", O_PATH | O_NOFOLLOW); // the host's: the container's may be anything
    const status = statAt(nullFd, "");
    const isNull = (status.mode & S_IFMT) === S_IFCHR && status.rdevMajor === 1 && status.rdevMinor === 3;
    if (!isNull) throw new PodError(`mask ${path}: /dev/null is not the null device`); // CVE-2025-31133
    const clone = openTree(nullFd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    moveMount(clone, target, path);
    close(clone);
    close(nullFd);
  }
  close(target);
}

function setRootReadOnly(root: number): void {
  setMountAttributes(root, { set: MOUNT_ATTR_RDONLY }, "/");
}
