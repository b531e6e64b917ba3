/** `cp`: files between a container and the host, by the rules of `docker cp` (docs.docker.com/reference/cli/docker/container/cp). */

import { innerOwner, type Owner, type OwnerMap, outerOwner, sameOwner } from "./container-ids.ts";
import { inContainerRoot } from "./container-root.ts";
import { hasCode, NotFoundError, PodError, SyscallError } from "./errors.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, RESOLVE_IN_ROOT, S_IFLNK, S_IFMT } from "./ns/constants.ts";
import { readlinkAtBytes, resolveBytes, toByteString, toText } from "./ns/sys/bytes.ts";
import { writeAll } from "./ns/sys/descriptor.ts";
import { close, open, statAt } from "./ns/sys/file.ts";
import { type ContainerRecord, findContainer, unlessRemoved } from "./storage/containers.ts";
import { TreeCopier } from "./storage/copytree.ts";
import { recordContainerEvent } from "./storage/events.ts";
import { isDirectory } from "./storage/lower.ts";
import { packPath } from "./storage/pack.ts";
import { unpackInto } from "./storage/unpack.ts";

export interface CopyOptions {
  /** The source's last name may be a symlink that is followed: `-L`. */
  followLink: boolean;
  /** Owners stay what they are, else they are root's in the container and the user's own on the host: `-a`. */
  archive: boolean;
}

/** What was copied, in bytes of an archive of it. */
export type Copied = number;

/** Copies out of a container. `target` is absolute, and may end in `/` or `/.`, as `source` may. In the user's namespace. */
export function copyFromContainer(container: string, source: string, target: string, options: CopyOptions): Copied {
  return inRoot("archive-path", container, source, (rootFd) =>
    copyBetween(containerEnd(container, rootFd, source), hostEnd(target), options, hostRoot),
  );
}

/** Copies into a container. `source` is absolute. */
export function copyToContainer(source: string, container: string, target: string, options: CopyOptions): Copied {
  return inRoot("extract-to-dir", container, target, (rootFd, record) =>
    copyBetween(hostEnd(source), containerEnd(container, rootFd, target), options, outerOf(record)(hostRoot)),
  );
}

/** Writes an archive of it to a descriptor. */
export function packFromContainer(container: string, source: string, fd: number, options: CopyOptions): void {
  inRoot("archive-path", container, source, (rootFd, { userns }) => {
    const ownerOf = userns ? (owner: Owner) => innerOwner(owner, userns) : sameOwner;
    const end = containerEnd(container, rootFd, source);
    close(openSource(end, options.followLink)); // says what is wrong with it
    const path = options.followLink || end.isFolder ? findTarget(end).path : end.path;
    const as = end.isContents ? "." : baseOf(end.path);
    closing(openFolder(end, parentOf(path)), (parent) => {
      for (const chunk of packPath(parent, baseOf(path) || ".", as, ownerOf)) writeAll(fd, chunk);
    });
  });
}

/** Unpacks the archive that a descriptor gives, which is not compressed, into a folder of the container. Owners are those that it names. */
export function unpackIntoContainer(fd: number, container: string, target: string): Copied {
  return inRoot("extract-to-dir", container, target, (rootFd, record) => {
    const end = containerEnd(container, rootFd, target);
    const { path, isFolder } = findTarget(end);
    if (!isFolder) throw new PodError(`destination "${container}:${target}" must be a directory`);
    return closing(openFolder(end, path), (folder) => withRefusal(() => unpackInto(folder, fd, outerOf(record))));
  });
}

/** Of a rootless user, the user's own; in a container, its root's. */
const hostRoot: Owner = { uid: 0, gid: 0 };

/** Who of the user's namespace the owners are that the container knows. */
function outerOf({ name, userns }: ContainerRecord): OwnerMap {
  return ({ uid, gid }) => {
    const outer = outerOwner({ uid, gid }, userns);
    if (!outer) throw new PodError(`container ${name} has no ids for a file of ${uid}:${gid}`);
    return outer;
  };
}

function inRoot<T>(
  event: string,
  name: string,
  path: string,
  action: (rootFd: number, record: ContainerRecord) => T,
): T {
  const { record } = findContainer(name);
  const result = unlessRemoved(record, () => inContainerRoot(record, (rootFd) => action(rootFd, record)));
  recordContainerEvent(event, record, { path });
  return result;
}

/** One side: a path below a root that it does not leave. */
interface End {
  rootFd: number;
  /** A byte string, absolute, without `.`, `..` and a slash at its end. */
  path: string;
  /** It ended in `/` or `/.`: it is a folder, or a symlink to one. */
  isFolder: boolean;
  /** It ended in `/.`, or is the root: what is in the folder is meant. */
  isContents: boolean;
  missing: (path: string) => PodError;
}

function containerEnd(container: string, rootFd: number, path: string): End {
  const missing = (text: string) => new NotFoundError(`Could not find the file ${text} in container ${container}`);
  return { rootFd, ...parsePath(toByteString(path)), missing };
}

function hostEnd(path: string): End {
  const missing = (text: string) => new NotFoundError(`lstat ${text}: no such file or directory`);
  return { rootFd: open("/", O_PATH | O_DIRECTORY), ...parsePath(toByteString(path)), missing };
}

/** Of a byte string. As Docker does, `..` is taken off before symlinks are followed. */
export function parsePath(text: string): Pick<End, "path" | "isFolder" | "isContents"> {
  const steps: string[] = [];
  for (const step of text.split("/")) {
    if (step === "..") steps.pop();
    else if (step !== "" && step !== ".") steps.push(step);
  }
  const isContents = /(^|\/)\.$/.test(text) || steps.length === 0;
  return { path: `/${steps.join("/")}`, isFolder: isContents || text.endsWith("/"), isContents };
}

/** Without `archive` all becomes the owner's. */
function copyBetween(source: End, target: End, { followLink, archive }: CopyOptions, owner: Owner): Copied {
  return closing(openSource(source, followLink), (from) => {
    const { path, name } = placeFor(target, source, isDirectory(statAt(from, "")));
    return closing(openFolder(target, path), (folder) => {
      const copier = new TreeCopier(folder, archive ? undefined : owner);
      withRefusal(() => (name === undefined ? copier.copyContents(from) : copier.copy(from, name)));
      return copier.archiveBytes;
    });
  });
}

/** What stays open would keep a container's file system mounted. */
function closing<T>(fd: number, action: (fd: number) => T): T {
  try {
    return action(fd);
  } finally {
    close(fd);
  }
}

/** Docker's text where a container's file system, or a mount, takes no files. */
function withRefusal<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw hasCode(error, "EROFS") ? new PodError("container rootfs is marked read-only", { cause: error }) : error;
  }
}

/** What is to be copied, as an O_PATH descriptor. */
function openSource(source: End, followLink: boolean): number {
  const { rootFd, path, isFolder } = source;
  const follows = followLink || isFolder;
  const fd = resolveBytes(rootFd, path, O_PATH | (follows ? 0 : O_NOFOLLOW), RESOLVE_IN_ROOT);
  if (fd === undefined) throw source.missing(toText(path));
  if (!isFolder || isDirectory(statAt(fd, ""))) return fd;
  close(fd);
  throw new SyscallError("lstat", 20 /* ENOTDIR */, toText(path));
}

/**
 * Where it goes: a folder's path and the name in it; without a name the source's content goes into the folder. The cases, and
 * the texts, are those of moby's PrepareArchiveCopy (pkg/archive/copy.go).
 */
function placeFor(target: End, source: End, sourceIsFolder: boolean): { path: string; name?: string } {
  const found = findTarget(target);
  if (found.isFolder) {
    return { path: found.path, name: source.isContents && sourceIsFolder ? undefined : baseOf(source.path) };
  }
  if (found.exists && sourceIsFolder) throw new PodError("cannot copy directory");
  if (found.exists && target.isFolder) throw new SyscallError("lstat", 20 /* ENOTDIR */, toText(target.path));
  if (!found.exists && target.isFolder && !sourceIsFolder) throw new NotFoundError("no such directory");
  return { path: parentOf(found.path), name: baseOf(found.path) };
}

const linksMaximum = 40; // the kernel's MAXSYMLINKS, path_resolution(7)

/** Follows symlinks to where the target would be made, should it not exist. */
function findTarget({ rootFd, path }: End): { path: string; exists: boolean; isFolder: boolean } {
  let current = path;
  for (let links = 0; links < linksMaximum; links++) {
    const fd = resolveBytes(rootFd, current, O_PATH | O_NOFOLLOW, RESOLVE_IN_ROOT);
    if (fd === undefined) return { path: current, exists: false, isFolder: false };
    try {
      const status = statAt(fd, "");
      if ((status.mode & S_IFMT) !== S_IFLNK) return { path: current, exists: true, isFolder: isDirectory(status) };
      const link = readlinkAtBytes(fd, "");
      current = parsePath(link.startsWith("/") ? link : `${parentOf(current)}/${link}`).path;
    } finally {
      close(fd);
    }
  }
  throw new SyscallError("lstat", 40 /* ELOOP */, toText(path));
}

/** The descriptor holds the folder itself, whatever becomes of its path. */
function openFolder(target: End, path: string): number {
  const fd = resolveBytes(target.rootFd, path, O_RDONLY | O_DIRECTORY, RESOLVE_IN_ROOT);
  if (fd === undefined) throw target.missing(toText(path));
  return fd;
}

function baseOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}
