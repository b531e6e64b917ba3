/** What the layers below show at a path, as an overlay of them would: whiteouts and opaque directories count. */

import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFDIR, S_IFMT } from "../ns/constants.ts";
import { listDirectoryBytes, openAtBytes, statAtBytes } from "../ns/sys/bytes.ts";
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
  /** Folders of the layers, the topmost first. */
  readonly #roots: number[];

  constructor(layerDirs: string[]) {
    this.#roots = layerDirs.map((dir) => open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }

  close(): void {
    this.#roots.forEach(close);
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
    return mergedNames(this.#roots);
  }
}

/** The names that folders show which are merged, the topmost first. */
export function mergedNames(folders: number[]): string[] {
  const names = new Set(folders.flatMap((fd) => listDirectoryBytes(fd).map(({ name }) => name)));
  return [...names].filter((name) => !name.startsWith(whiteoutPrefix) && visible(folders, name));
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
    const fd = openAtBytes(dirFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    opened.push(fd);
    result.push(fd);
    if (isOpaque(fd)) break;
  }
  return result;
}
