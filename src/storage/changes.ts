/** What a container's writable layer changes of the layers below it, as `docker diff` counts it. */

import { type OwnerMap, sameOwner } from "../container-ids.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFDIR, S_IFMT, S_IFREG, S_IFSOCK } from "../ns/constants.ts";
import { findAtBytes, listDirectoryBytes, statAtBytes } from "../ns/sys/bytes.ts";
import { close, open, type Time } from "../ns/sys/file.ts";
import { attributesOf } from "./attributes.ts";
import type { RootfsFolders } from "./drivers.ts";
import { isDirectory, type LowerFile, merged, mergedFiles, visible } from "./lower.ts";
import { isOpaque, isWhiteout, whiteoutPrefix } from "./whiteouts.ts";

export interface Change {
  /** Added, changed, deleted. */
  kind: "A" | "C" | "D";
  /** From the root, without a slash before it: a byte string. */
  path: string;
  /** Where it lies, until the next change is asked for; undefined for what is deleted. */
  file?: LowerFile;
}

/**
 * All changes, folders before what is in them, else by name: the same for the same trees. A folder counts as changed
 * where something in it is. `ignored`: paths that are no change where they are new.
 */
export function* changesOf(folders: RootfsFolders, ignored = new Set<string>()): Generator<Change> {
  const opened = [folders.upper, ...folders.lower].map((dir) => open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const [upper, ...lower] = opened;
  const { isWhole, ownerOf } = folders;
  try {
    yield* changesIn({ fd: upper!, lower, isWhole, ownerOf, path: "", pending: [], ignored });
  } finally {
    opened.forEach(close);
  }
}

interface ComparedFolder {
  fd: number;
  /** The folders below, the topmost first; none where it is new. */
  lower: number[];
  /** It shows nothing of the folders below: what it lacks is deleted. */
  isWhole: boolean;
  path: string;
  /** Folders on the way that are not told yet, one list for the whole walk: they count where something in them does. */
  pending: Change[];
  ignored: Set<string>;
  /** Who an owner in this folder is in those below. */
  ownerOf: OwnerMap;
}

function* changesIn(folder: ComparedFolder): Generator<Change> {
  const own = listDirectoryBytes(folder.fd).map(({ name }) => name);
  const names = new Set(
    own.map((name) => (name.startsWith(whiteoutPrefix) ? name.slice(whiteoutPrefix.length) : name)),
  );
  if (folder.isWhole) for (const { name } of mergedFiles(folder.lower)) names.add(name);
  for (const name of [...names].sort()) {
    const below = visible(folder.lower, name);
    const status = statAtBytes(folder.fd, name);
    const path = folder.path ? `${folder.path}/${name}` : name;
    if (!status || isWhiteout(folder.fd, name, status)) {
      if (below) yield* told({ kind: "D", path }, folder.pending);
      continue;
    }
    if ((status.mode & S_IFMT) === S_IFSOCK) continue; // of a program that runs: no archive has a word for it
    if (!below && folder.ignored.has(path)) continue;
    const file = { dirFd: folder.fd, name, status };
    const change: Change = { kind: below ? "C" : "A", path, file };
    if (isDirectory(status)) yield* changesOfFolder(folder, change, file, below);
    else if (!below || differs(file, below, folder.ownerOf)) yield* told(change, folder.pending);
  }
}

function* changesOfFolder(
  { fd: parentFd, lower, isWhole, pending, ignored, ownerOf }: ComparedFolder,
  change: Change,
  file: LowerFile,
  below: LowerFile | undefined,
): Generator<Change> {
  const fd = findAtBytes(parentFd, file.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd === undefined) return; // the container has just removed it
  const opened = [fd];
  try {
    const wasFolder = below !== undefined && isDirectory(below.status);
    if (wasFolder && !differs(file, below, ownerOf)) pending.push(change);
    else yield* told(change, pending);
    yield* changesIn({
      fd,
      lower: wasFolder ? merged(lower, file.name, opened) : [],
      isWhole: isWhole || isOpaque(fd),
      path: change.path,
      pending,
      ignored,
      ownerOf,
    });
    if (pending.at(-1) === change) pending.pop();
  } finally {
    opened.forEach(close);
  }
}

function* told(change: Change, pending: Change[]): Generator<Change> {
  yield* pending.splice(0);
  yield change;
}

/** Docker's comparison, and the extended attributes. A folder's time and size change with what is in it, and say nothing. */
function differs(file: LowerFile, below: LowerFile, ownerOf: OwnerMap): boolean {
  const [now, before] = [{ ...file.status, ...ownerOf(file.status) }, below.status];
  if (now.mode !== before.mode || now.uid !== before.uid || now.gid !== before.gid) return true;
  if (now.rdevMajor !== before.rdevMajor || now.rdevMinor !== before.rdevMinor) return true;
  if (!isDirectory(now) && (now.size !== before.size || !isSameTime(now.modified, before.modified))) return true;
  const kind = now.mode & S_IFMT;
  return (kind === S_IFREG || kind === S_IFDIR) && xattrsOf(file, ownerOf) !== xattrsOf(below);
}

function isSameTime(a: Time, b: Time): boolean {
  return a.seconds === b.seconds && a.nanoseconds === b.nanoseconds;
}

function xattrsOf({ dirFd, name }: LowerFile, ownerOf = sameOwner): string {
  const fd = findAtBytes(dirFd, name, O_RDONLY | O_NOFOLLOW);
  if (fd === undefined) return "gone";
  try {
    const { mode, uid, gid, xattrs } = attributesOf(fd, ownerOf);
    return JSON.stringify([mode, uid, gid, xattrs.toSorted(([a], [b]) => (a < b ? -1 : 1))]);
  } finally {
    close(fd);
  }
}
