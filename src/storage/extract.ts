/** Entries of a layer's archive become files below one folder, and nothing outside it: image-spec layer.md. */

import { hasCode, PodError, SyscallError } from "../errors.ts";
import {
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFLNK,
} from "../ns/constants.ts";
import {
  linkAtBytes,
  mknodAtBytes,
  openAtBytes,
  setTimesOf,
  statAtBytes,
  symlinkAtBytes,
  toText,
} from "../ns/sys/bytes.ts";
import { writeAll } from "../ns/sys/descriptor.ts";
import { close, ftruncate, makeDevice, open } from "../ns/sys/file.ts";
import { attributesOf, type Skipped, setAttributes, setAttributesAt } from "./attributes.ts";
import { copyUp } from "./copyup.ts";
import { writeAt } from "./files.ts";
import { type Folder, Folders } from "./folders.ts";
import { isDirectory, type LowerLayers } from "./lower.ts";
import { removeAt } from "./remove.ts";
import type { TarEntry, TarHandler } from "./tar.ts";
import { makeOpaque, makeWhiteout, opaqueName, whiteoutPrefix } from "./whiteouts.ts";

/** What became of an archive. */
export interface Extracted {
  entries: number;
  /** Bytes of the files, holes included. */
  sizeBytes: number;
  skipped: Skipped;
}

/** Takes the entries of one layer: the handler of a `tarReader`. `finish` after the last, `close` in any case. */
export class Extraction implements TarHandler {
  readonly result: Extracted = { entries: 0, sizeBytes: 0, skipped: { devices: 0, xattrs: 0, owners: 0 } };
  readonly #rootFd: number;
  readonly #folders: Folders;
  /** The file whose content comes in: `offset` is the descriptor's own, `end` that of the data so far. */
  #file: { fd: number; entry: TarEntry; offset: number; end: number } | undefined;
  #isRootOpaque = false;
  #isRootSet = false;

  /** `rootDir` is empty and nobody else's. */
  constructor(
    rootDir: string,
    private readonly lower: LowerLayers,
  ) {
    this.#rootFd = open(rootDir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    this.#folders = new Folders(this.#rootFd, lower, this.result.skipped);
  }

  close(): void {
    if (this.#file) close(this.#file.fd);
    this.#file = undefined;
    this.#folders.forget();
    this.lower.close();
    close(this.#rootFd);
  }

  entry(entry: TarEntry): void {
    this.result.entries++;
    const steps = toSteps(entry.name);
    if (steps.some((step) => step.startsWith(whiteoutPrefix))) {
      this.#whiteout(steps);
      return;
    }
    const name = steps.pop();
    if (name === undefined) {
      if (entry.kind !== "directory") throw new PodError(`the archive's root is a ${entry.kind}`);
      this.#setFolder(openAtBytes(this.#rootFd, ".", O_RDONLY), [], entry);
      this.#isRootSet = true;
    } else if (entry.kind === "link") this.#link(steps, name, toSteps(entry.linkName));
    else this.#make(this.#folders.enter(steps), name, entry);
  }

  data(bytes: Uint8Array, position: number): void {
    const file = this.#file;
    if (!file) return;
    file.end = position + bytes.length;
    if (position === file.offset) {
      writeAll(file.fd, bytes);
      file.offset = file.end;
    } else writeAt(file.fd, bytes, position); // after a hole
  }

  end(): void {
    if (!this.#file) return;
    const { fd, entry, end } = this.#file;
    if (end < entry.size) ftruncate(fd, entry.size);
    setAttributes(fd, entry, this.result.skipped);
    setTimesOf(fd, entry.accessed, entry.modified);
    close(fd);
    this.#file = undefined;
    this.result.sizeBytes += entry.size;
  }

  /** What can only be done when all entries are known. */
  finish(): void {
    if (!this.#isRootSet) this.#setRoot();
    if (this.#isRootOpaque) this.#hideLowerRoot();
    this.#folders.setTimes();
  }

  #make(parent: Folder, name: string, entry: TarEntry): void {
    const { skipped } = this.result;
    switch (entry.kind) {
      case "file": {
        const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
        const fd = this.#replacing(parent, name, () => openAtBytes(parent.fd, name, flags, 0o600));
        this.#file = { fd, entry, offset: 0, end: 0 };
        return;
      }
      case "directory":
        this.#setFolder(this.#folder(parent, name), [...parent.steps, name], entry);
        return;
      case "symlink":
        this.#replacing(parent, name, () => symlinkAtBytes(entry.linkName, parent.fd, name));
        setAttributesAt(parent.fd, name, entry, S_IFLNK, skipped);
        return;
      default:
        this.#node(parent, name, entry);
    }
  }

  /** A folder that is there stays, with its content, and gets the attributes of its last entry. */
  #folder(parent: Folder, name: string): number {
    const status = statAtBytes(parent.fd, name);
    if (status && isDirectory(status)) return openAtBytes(parent.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (status && !this.#folders.hasWhiteout(parent, name)) this.#remove(parent, name);
    return this.#folders.make(parent, name);
  }

  #setFolder(fd: number, steps: string[], entry: TarEntry): void {
    try {
      setAttributes(fd, entry, this.result.skipped);
      this.#folders.keepTimes(steps, entry);
    } finally {
      close(fd);
    }
  }

  /** Devices that the kernel refuses are only counted; 0:0 is an overlay's whiteout, for which archives have other words. */
  #node(parent: Folder, name: string, entry: TarEntry): void {
    const kind = { character: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO }[entry.kind as "character" | "block" | "fifo"];
    const device = kind === S_IFIFO ? 0n : makeDevice(entry.major, entry.minor);
    try {
      if (kind === S_IFCHR && device === 0n) throw new SyscallError("mknod", 1 /* EPERM */);
      this.#replacing(parent, name, () => mknodAtBytes(parent.fd, name, kind | 0o600, device));
    } catch (error) {
      if (!hasCode(error, "EPERM")) throw error;
      this.result.skipped.devices++;
      return;
    }
    setAttributesAt(parent.fd, name, entry, kind, this.result.skipped);
  }

  /** A hard link. What only a layer below has is copied up first, so that both names are one file. */
  #link(steps: string[], name: string, targetSteps: string[]): void {
    const targetName = targetSteps.pop();
    if (targetName === undefined) throw new PodError("it is a hard link to the archive's root");
    const folder = this.#folders.enter(targetSteps);
    const target: Folder = { fd: openAtBytes(folder.fd, ".", O_PATH | O_DIRECTORY), steps: folder.steps };
    try {
      const what = `a hard link to ${toText([...target.steps, targetName].join("/"))}`;
      let status = statAtBytes(target.fd, targetName);
      if (!status && !this.#folders.hasWhiteout(target, targetName)) {
        this.lower.lookup([...target.steps, targetName], (below) => {
          if (below && !isDirectory(below.status)) copyUp(below, target.fd, targetName, this.result.skipped);
        });
        status = statAtBytes(target.fd, targetName);
      }
      if (!status || this.#folders.hasWhiteout(target, targetName)) {
        throw new PodError(`${what}, which is not there`);
      }
      if (isDirectory(status)) throw new PodError(`${what}, which is a directory`);
      const parent = this.#folders.enter(steps);
      if ([...parent.steps, name].join("/") === [...target.steps, targetName].join("/")) return;
      this.#replacing(parent, name, () => linkAtBytes(target.fd, targetName, parent.fd, name));
    } finally {
      close(target.fd);
    }
  }

  /** Creates something where nothing, a whiteout, or an earlier entry of that name may stand. */
  #replacing<T>(parent: Folder, name: string, create: () => T): T {
    this.#folders.takeWhiteout(parent, name);
    try {
      return create();
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
    }
    this.#remove(parent, name);
    return create();
  }

  #remove(parent: Folder, name: string): void {
    removeAt(parent.fd, name);
    this.#folders.invalidate();
  }

  /** Whiteouts speak of the layers below only: what this layer itself has of that name stays, whichever comes first. */
  #whiteout(steps: string[]): void {
    const last = steps.pop()!;
    if (aufsNames.has(steps[0] ?? last)) return;
    const hidden = last.slice(whiteoutPrefix.length);
    const isMarker = last.startsWith(whiteoutPrefix) && !["", ".", ".."].includes(hidden);
    if (!isMarker || steps.some((step) => step.startsWith(whiteoutPrefix))) {
      throw new PodError("it is no whiteout that the image specification knows");
    }
    const folder = this.#folders.enter(steps);
    if (last === opaqueName) {
      if (folder.steps.length === 0) this.#isRootOpaque = true;
      else makeOpaque(folder.fd);
      return;
    }
    const status = statAtBytes(folder.fd, hidden);
    if (status && isDirectory(status)) this.#hideBelow(folder.fd, hidden);
    else if (!status && !this.#folders.hasWhiteout(folder, hidden)) {
      const isBelow = this.lower.lookup([...folder.steps, hidden], (below) => below !== undefined);
      if (!isBelow) return; // overlayfs would list a whiteout that has nothing to hide
      makeWhiteout(folder.fd, hidden);
      this.#folders.addWhiteout(folder, hidden);
    }
  }

  #hideBelow(dirFd: number, name: string): void {
    const fd = openAtBytes(dirFd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    try {
      makeOpaque(fd);
    } finally {
      close(fd);
    }
  }

  /** Overlays always merge their roots, so an opaque root is told name by name. */
  #hideLowerRoot(): void {
    for (const name of this.lower.rootNames()) {
      const status = statAtBytes(this.#rootFd, name);
      if (!status) makeWhiteout(this.#rootFd, name);
      else if (isDirectory(status)) this.#hideBelow(this.#rootFd, name);
    }
  }

  /** The archive does not say its owner and mode: those of the layer below. */
  #setRoot(): void {
    this.lower.lookup([], (below) => {
      if (!below) return setAttributes(this.#rootFd, { mode: 0o755, uid: 0, gid: 0, xattrs: [] }, this.result.skipped);
      const attributes = attributesOf(below.dirFd);
      setAttributes(this.#rootFd, attributes, this.result.skipped);
      this.#folders.keepTimes([], attributes);
    });
  }
}

/** Notes of the aufs driver in images of old Dockers. */
const aufsNames = new Set([".wh..wh.aufs", ".wh..wh.orph", ".wh..wh.plnk"]);

/** The names on the way; `..` is refused, since no honest archive needs it, and a leading `/` means the layer's root. */
function toSteps(name: string): string[] {
  const steps = name.split("/").filter((step) => step !== "" && step !== ".");
  if (steps.includes("..")) throw new PodError(`the archive is refused: ${toText(name)} would lead out of the layer`);
  return steps;
}
