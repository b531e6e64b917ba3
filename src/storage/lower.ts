/** What the layers below show at a path, as an overlay of them would: whiteouts and opaque directories count. */

import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFDIR, S_IFMT } from "../ns/constants.ts";
import { findAtBytes, listDirectoryBytes, statAtBytes } from "../ns/sys/bytes.ts";
import { close, open, type Status } from "../ns/sys/file.ts";
import { isOpaque, isWhiteout, whiteoutPrefix } from "./whiteouts.ts";

/** Something that a lower layer holds: `name` in the folder behind `dirFd`. */
export interface LowerFile {
  dirFd: number;
  name: string;
  status: Status;
}

export function isDirectory(status: Status): boolean {
  return (status.mode & S_IFMT) === S_IFDIR;
}

export class LowerLayers {
  #opened: number[] | undefined;

  /** Folders of the layers, the topmost first; `awaitThem` returns when they are there. */
  constructor(
    private readonly layerDirs: string[],
    private readonly awaitThem: () => void = () => {},
  ) {}

  close(): void {
    this.#opened?.forEach(close);
  }

  /** Opened when they are looked at first: few archives need them before their end. */
  get #roots(): number[] {
    if (!this.#opened) {
      this.awaitThem();
      this.#opened = this.layerDirs.map((dir) => open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    }
    return this.#opened;
  }

  /** Calls `use` with what is at `steps`, through no symlink; no steps mean the root. The descriptor is valid in the call only. */
  lookup<T>(steps: string[], use: (file: LowerFile | undefined) => T): T {
    const opened: number[] = [];
    try {
      let folders = this.#roots;
      let found = folders.length ? visible(folders, ".") : undefined;
      for (const step of steps) {
        if (!found || !isDirectory(found.status)) return use(undefined);
        if (found.name !== ".") folders = merged(folders, found.name, opened);
        found = visible(folders, step);
      }
      return use(found);
    } finally {
      opened.forEach(close);
    }
  }

  /** The names that the root folder shows. */
  rootNames(): string[] {
    return mergedFiles(this.#roots).map(({ name }) => name);
  }
}

/** What folders show that are merged, the topmost first. One look at each file, however many folders there are. */
export function mergedFiles(folders: number[]): LowerFile[] {
  const found = new Map<string, LowerFile | undefined>();
  for (const dirFd of folders) {
    const names = listDirectoryBytes(dirFd).map(({ name }) => name);
    for (const name of names.filter((each) => !each.startsWith(whiteoutPrefix) && !found.has(each))) {
      const status = statAtBytes(dirFd, name);
      found.set(name, status && !isWhiteout(dirFd, name, status) ? { dirFd, name, status } : undefined);
    }
    for (const name of names.filter((each) => each.startsWith(whiteoutPrefix))) {
      const hidden = name.slice(whiteoutPrefix.length);
      if (!found.has(hidden)) found.set(hidden, undefined);
    }
  }
  return [...found.values()].filter((file) => file !== undefined);
}

/** What they show under a name; undefined where it is in none, or hidden. */
export function visible(folders: number[], name: string): LowerFile | undefined {
  for (const dirFd of folders) {
    const status = statAtBytes(dirFd, name);
    if (isWhiteout(dirFd, name, status)) return undefined;
    if (status) return { dirFd, name, status };
  }
  return undefined;
}

/** The folders called `name` that are merged there: down to the first that hides what lies below it. They are added to `opened`. */
export function merged(folders: number[], name: string, opened: number[]): number[] {
  const result: number[] = [];
  for (const dirFd of folders) {
    const status = statAtBytes(dirFd, name);
    if (isWhiteout(dirFd, name, status)) break;
    if (!status) continue;
    if (!isDirectory(status)) break;
    const fd = findAtBytes(dirFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd === undefined) break; // a container that runs has just removed it
    opened.push(fd);
    result.push(fd);
    if (isOpaque(fd)) break;
  }
  return result;
}
