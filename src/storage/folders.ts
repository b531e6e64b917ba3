/**
 * The folders of a layer that is being extracted, opened step by step from the layer's root, no step through a
 * symlink. A symlink in the way (legitimate, in this layer or below) is followed here, with the layer as the root: no
 * name leads out of it. Folders that the archive leaves out are made, as the layers below have them.
 */

import { hasCode, PodError, SyscallError } from "../errors.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, S_IFLNK, S_IFMT } from "../ns/constants.ts";
import {
  findAtBytes,
  mkdirAtBytes,
  openAtBytes,
  readlinkAtBytes,
  setTimesAtBytes,
  statAtBytes,
  toText,
} from "../ns/sys/bytes.ts";
import { close } from "../ns/sys/file.ts";
import { attributesOf, type Skipped, setAttributes, type Times } from "./attributes.ts";
import { isDirectory, type LowerLayers } from "./lower.ts";
import { makeOpaque, removeWhiteout } from "./whiteouts.ts";

/** A folder of the layer. `steps` are its names from the root; none of them is a symlink. */
export interface Folder {
  fd: number;
  steps: string[];
}

const linksMaximum = 40; // the kernel's MAXSYMLINKS, path_resolution(7)

export class Folders {
  readonly #root: Folder;
  /** The folder that was entered last and those above it, by the archive's names. */
  #stack: { step: string; folder: Folder }[] = [];
  #isStale = false;
  /** Whiteouts of this layer, by path. */
  readonly #whiteouts = new Set<string>();
  /** Times of folders: set at the end, since what is put into a folder changes them. */
  readonly #times = new Map<string, Times>();

  constructor(
    rootFd: number,
    readonly lower: LowerLayers,
    readonly skipped: Skipped,
  ) {
    this.#root = { fd: rootFd, steps: [] };
  }

  /** The folder that the archive calls by these steps. Its descriptor is valid until the next call, or `forget`. */
  enter(steps: string[], open = (parent: Folder, step: string) => this.#openOrMake(parent, step)): Folder {
    if (this.#isStale) this.forget();
    let depth = 0;
    while (depth < this.#stack.length && this.#stack[depth]!.step === steps[depth]) depth++;
    while (this.#stack.length > depth) close(this.#stack.pop()!.folder.fd);
    for (const step of steps.slice(depth)) {
      this.#stack.push({ step, folder: open(this.#stack.at(-1)?.folder ?? this.#root, step) });
    }
    return this.#stack.at(-1)?.folder ?? this.#root;
  }

  /** Something was removed, perhaps a symlink that led to the folder entered: the next `enter` begins at the root. */
  invalidate(): void {
    this.#isStale = true;
  }

  /** Closes all that was entered. */
  forget(): void {
    this.#isStale = false;
    for (const { folder } of this.#stack) close(folder.fd);
    this.#stack = [];
  }

  addWhiteout(folder: Folder, name: string): void {
    this.#whiteouts.add(pathOf(folder, name));
  }

  hasWhiteout(folder: Folder, name: string): boolean {
    return this.#whiteouts.size > 0 && this.#whiteouts.has(pathOf(folder, name));
  }

  /** Removes a whiteout that this layer has of `name`; true where there was one. */
  takeWhiteout(folder: Folder, name: string): boolean {
    if (!this.hasWhiteout(folder, name)) return false;
    this.#whiteouts.delete(pathOf(folder, name));
    removeWhiteout(folder.fd, name);
    return true;
  }

  /** Makes a folder and opens it for reading. In place of a whiteout it hides what the layers below have under its name. */
  make(parent: Folder, name: string): number {
    const isOpaque = this.takeWhiteout(parent, name);
    mkdirAtBytes(parent.fd, name, 0o700);
    const fd = openAtBytes(parent.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (isOpaque) makeOpaque(fd);
    return fd;
  }

  keepTimes(steps: string[], times: Times): void {
    this.#times.set(steps.join("/"), times);
  }

  /** Sets the times kept; what has meanwhile made way for something else is passed over. */
  setTimes(): void {
    this.forget();
    for (const [path, { accessed, modified }] of this.#times) {
      const steps = path.split("/");
      const name = steps.pop() || ".";
      try {
        const parent = this.enter(steps, openPlainly);
        const status = statAtBytes(parent.fd, name);
        if (status && isDirectory(status)) setTimesAtBytes(parent.fd, name, accessed, modified);
      } catch (error) {
        if (!hasCode(error, "ENOENT", "ENOTDIR")) throw error;
      }
    }
    this.forget();
  }

  #openOrMake(parent: Folder, step: string): Folder {
    const found = this.#step(parent, step);
    return typeof found === "string" ? this.#follow(parent, found) : found;
  }

  /** The folder `step`, made if it is missing; or the target of a symlink of that name. */
  #step(parent: Folder, step: string): Folder | string {
    const there = findPlainly(parent, step);
    if (there) return there;
    const steps = [...parent.steps, step];
    if (this.#whiteouts.has(steps.join("/"))) return { fd: this.make(parent, step), steps };
    const status = statAtBytes(parent.fd, step);
    if (status && (status.mode & S_IFMT) === S_IFLNK) return readlinkAtBytes(parent.fd, step);
    if (status) throw new PodError(`${toText(steps.join("/"))} is not a directory`);
    return this.lower.lookup(steps, (below) => {
      if (below && (below.status.mode & S_IFMT) === S_IFLNK) return readlinkAtBytes(below.dirFd, step);
      const fd = this.make(parent, step);
      if (below && isDirectory(below.status)) this.#copyAttributes(below.dirFd, step, fd, steps);
      else setAttributes(fd, { mode: 0o755, uid: 0, gid: 0, xattrs: [] }, this.skipped);
      return { fd, steps };
    });
  }

  #copyAttributes(dirFd: number, name: string, fd: number, steps: string[]): void {
    const source = openAtBytes(dirFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      const attributes = attributesOf(source);
      setAttributes(fd, attributes, this.skipped);
      this.keepTimes(steps, attributes);
    } finally {
      close(source);
    }
  }

  /** Walks a symlink's target, and the symlinks on that way. `..` of the root is the root. */
  #follow(start: Folder, target: string): Folder {
    let folder = this.#reopen(target.startsWith("/") ? [] : start.steps);
    const go = (next: Folder) => {
      close(folder.fd);
      folder = next;
    };
    try {
      const pending = target.split("/");
      for (let links = 1; pending.length > 0; ) {
        const step = pending.shift()!;
        if (step === "" || step === ".") continue;
        const found = step === ".." ? this.#reopen(folder.steps.slice(0, -1)) : this.#step(folder, step);
        if (typeof found !== "string") go(found);
        else {
          if (++links > linksMaximum) throw new SyscallError("open", 40 /* ELOOP */, toText(target));
          pending.unshift(...found.split("/"));
          if (found.startsWith("/")) go(this.#reopen([]));
        }
      }
      return folder;
    } catch (error) {
      close(folder.fd);
      throw error;
    }
  }

  #reopen(steps: string[]): Folder {
    let folder: Folder = { fd: openAtBytes(this.#root.fd, ".", O_PATH | O_DIRECTORY), steps: [] };
    for (const step of steps) {
      const next = openPlainly(folder, step);
      close(folder.fd);
      folder = next;
    }
    return folder;
  }
}

const plainly = O_PATH | O_DIRECTORY | O_NOFOLLOW;

function openPlainly(parent: Folder, step: string): Folder {
  return { fd: openAtBytes(parent.fd, step, plainly), steps: [...parent.steps, step] };
}

function findPlainly(parent: Folder, step: string): Folder | undefined {
  const fd = findAtBytes(parent.fd, step, plainly);
  return fd === undefined ? undefined : { fd, steps: [...parent.steps, step] };
}

function pathOf(folder: Folder, name: string): string {
  return [...folder.steps, name].join("/");
}
