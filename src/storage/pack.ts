/** Files into tar archives: a container's whole tree, or its changes as a layer (image-spec layer.md). Nothing is held but one chunk. */

import { type OwnerMap, sameOwner } from "../container-ids.ts";
import { hasCode } from "../errors.ts";
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../ns/constants.ts";
import { findAtBytes, listDirectoryBytes, readlinkAtBytes, statAtBytes } from "../ns/sys/bytes.ts";
import { close, open } from "../ns/sys/file.ts";
import { readSync } from "../ns/sys/fs.ts";
import { attributesOf } from "./attributes.ts";
import type { Change } from "./changes.ts";
import { isDirectory, type LowerFile, merged, mergedFiles } from "./lower.ts";
import type { TarEntry } from "./tar.ts";
import { emptyFile, tarEnd, tarHeader, tarPadding } from "./tarwriter.ts";
import { whiteoutPrefix } from "./whiteouts.ts";

/** The archive of all that these folders show, merged, the topmost first; `ownerOf` says whom an owner in that one stands for. */
export function packTree(dirs: string[], ownerOf = sameOwner): Generator<Buffer> {
  return inChunks(packMerged(dirs, ownerOf));
}

/** The layer of these changes: deletions become whiteouts. */
export function packLayer(changes: Iterable<Change>, ownerOf: OwnerMap): Generator<Buffer> {
  return inChunks(packChanges(changes, ownerOf));
}

/** The archive of one file, or folder with all below it: what is called `name` in the folder behind `dirFd` is called `as` there. */
export function packPath(dirFd: number, name: string, as: string, ownerOf: OwnerMap): Generator<Buffer> {
  return inChunks(packPlain({ packer: new Packer(), ownerOf }, dirFd, name, as, tarEnd));
}

interface Packing {
  packer: Packer;
  ownerOf: OwnerMap;
}

function* packPlain(packing: Packing, dirFd: number, name: string, as: string, end?: Buffer): Generator<Buffer> {
  const status = statAtBytes(dirFd, name);
  if (!status) return; // removed meanwhile
  yield* packing.packer.member(as, { dirFd, name, status }, packing.ownerOf);
  const folder = isDirectory(status) ? findAtBytes(dirFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) : undefined;
  if (folder !== undefined) {
    try {
      const names = listDirectoryBytes(folder).map((entry) => entry.name);
      for (const child of names.sort()) yield* packPlain(packing, folder, child, `${as}/${child}`);
    } finally {
      close(folder);
    }
  }
  if (end) yield end;
}

function* packMerged(dirs: string[], ownerOf: OwnerMap): Generator<Buffer> {
  const packer = new Packer();
  const roots = dirs.map((dir) => open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  try {
    yield* packFolder(packer, { folders: roots, top: roots[0], ownerOf }, "");
  } finally {
    roots.forEach(close);
  }
  yield tarEnd;
}

interface MergedFolder {
  folders: number[];
  /** That of the topmost tree, where it has this folder. */
  top: number | undefined;
  ownerOf: OwnerMap;
}

function* packFolder(packer: Packer, { folders, top, ownerOf }: MergedFolder, prefix: string): Generator<Buffer> {
  for (const file of mergedFiles(folders).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const { name } = file;
    const isOfTop = file.dirFd === top;
    yield* packer.member(prefix + name, file, isOfTop ? ownerOf : sameOwner);
    if (!isDirectory(file.status)) continue;
    const opened: number[] = [];
    try {
      const inner = merged(folders, name, opened);
      yield* packFolder(packer, { folders: inner, top: isOfTop ? inner[0] : undefined, ownerOf }, `${prefix}${name}/`);
    } finally {
      opened.forEach(close);
    }
  }
}

function* packChanges(changes: Iterable<Change>, ownerOf: OwnerMap): Generator<Buffer> {
  const packer = new Packer();
  for (const { path, file } of changes) {
    if (file) yield* packer.member(path, file, ownerOf);
    else yield tarHeader({ ...emptyFile, mode: 0, name: whiteoutOf(path) });
  }
  yield tarEnd;
}

function whiteoutOf(path: string): string {
  const slash = path.lastIndexOf("/") + 1;
  return `${path.slice(0, slash)}${whiteoutPrefix}${path.slice(slash)}`;
}

const kinds: Record<number, TarEntry["kind"]> = {
  [S_IFREG]: "file",
  [S_IFDIR]: "directory",
  [S_IFLNK]: "symlink",
  [S_IFCHR]: "character",
  [S_IFBLK]: "block",
  [S_IFIFO]: "fifo",
};

/** Names after the first of one file become hard links. */
class Packer {
  readonly #names = new Map<string, string>();
  readonly #buffer = Buffer.allocUnsafe(256 << 10);

  /** The blocks of one file; they are valid until the next are asked for. Sockets have none. */
  *member(name: string, { dirFd, name: ownName, status }: LowerFile, ownerOf = sameOwner): Generator<Buffer> {
    const kind = kinds[status.mode & S_IFMT];
    if (!kind) return;
    const { links, inode, deviceMajor, deviceMinor } = status;
    const identity = links > 1 && kind !== "directory" ? `${deviceMajor}:${deviceMinor}:${inode}` : undefined;
    const first = identity && this.#names.get(identity);
    const { modified, rdevMajor: major, rdevMinor: minor } = status;
    const { uid, gid } = ownerOf(status);
    const mode = status.mode & 0o7777;
    const entry: TarEntry = { ...emptyFile, kind, name, mode, uid, gid, modified };
    if (first !== undefined) {
      yield tarHeader({ ...entry, kind: "link", linkName: first });
      return;
    }
    const blocks =
      kind === "symlink"
        ? this.#symlink(entry, dirFd, ownName)
        : kind === "file" || kind === "directory"
          ? this.#opened(entry, dirFd, ownName, ownerOf)
          : [tarHeader({ ...entry, major, minor })];
    let isThere = false;
    for (const block of blocks) {
      isThere = true;
      yield block;
    }
    if (identity && isThere) this.#names.set(identity, name);
  }

  *#symlink(entry: TarEntry, dirFd: number, name: string): Generator<Buffer> {
    let linkName: string;
    try {
      linkName = readlinkAtBytes(dirFd, name);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return;
      throw error;
    }
    yield tarHeader({ ...entry, linkName });
  }

  *#opened(entry: TarEntry, dirFd: number, name: string, ownerOf: OwnerMap): Generator<Buffer> {
    const fd = findAtBytes(dirFd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK); // meanwhile it may have become a fifo
    if (fd === undefined) return; // or be gone: the container may run
    try {
      const { mode, uid, gid, xattrs, modified, size } = attributesOf(fd, ownerOf);
      const isFile = entry.kind === "file";
      yield tarHeader({ ...entry, mode, uid, gid, modified, size: isFile ? size : 0, xattrs: sorted(xattrs) });
      if (isFile) yield* this.#content(fd, size);
    } finally {
      close(fd);
    }
  }

  /** As many bytes as the header says: a file that changes meanwhile is cut, or filled with zeros, as GNU tar does. */
  *#content(fd: number, size: number): Generator<Buffer> {
    for (let left = size; left > 0; ) {
      const buffer = this.#buffer.subarray(0, Math.min(left, this.#buffer.length));
      const length = readSync(fd, buffer);
      if (length === 0) buffer.fill(0);
      const piece = length ? buffer.subarray(0, length) : buffer;
      left -= piece.length;
      yield piece;
    }
    yield tarPadding(size);
  }
}

/** A keyword of a pax record can't hold `=`. */
function sorted(xattrs: TarEntry["xattrs"]): TarEntry["xattrs"] {
  return xattrs.filter(([name]) => !name.includes("=")).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

const chunkBytes = 1 << 20;

/** Many small pieces as few chunks, each a buffer of its own. */
function* inChunks(pieces: Iterable<Buffer>): Generator<Buffer> {
  let chunk = Buffer.allocUnsafe(chunkBytes);
  let filled = 0;
  for (const piece of pieces) {
    for (let offset = 0; offset < piece.length; ) {
      const length = piece.copy(chunk, filled, offset);
      offset += length;
      filled += length;
      if (filled < chunkBytes) continue;
      yield chunk;
      chunk = Buffer.allocUnsafe(chunkBytes);
      filled = 0;
    }
  }
  if (filled) yield chunk.subarray(0, filled);
}
