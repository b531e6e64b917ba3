/**
 * Files and trees copied from one root to another, by descriptor: no step goes through a symlink, so whoever swaps a
 * folder for one meanwhile leads the copy nowhere (CVE-2018-15664).
 */

import type { Owner } from "../container-ids.ts";
import { PodError } from "../errors.ts";
import {
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from "../ns/constants.ts";
import {
  findAtBytes,
  linkAtBytes,
  listDirectoryBytes,
  mkdirAtBytes,
  mknodAtBytes,
  openAtBytes,
  readlinkAtBytes,
  removeAtBytes,
  resolveBytes,
  setTimesOf,
  statAtBytes,
  symlinkAtBytes,
  toText,
} from "../ns/sys/bytes.ts";
import { close, makeDevice, open, type Status, statAt } from "../ns/sys/file.ts";
import { attributesOf, type Skipped, setAttributes, setAttributesAt } from "./attributes.ts";
import { copyContent } from "./content.ts";
import { isDirectory } from "./lower.ts";

/** Copies into one folder. The sources' owners stay, unless all is to be `owner`'s. */
export class TreeCopier {
  readonly skipped: Skipped = { devices: 0, xattrs: 0, owners: 0 };
  /** What an archive of it would have: Docker's measure of what was copied. */
  archiveBytes = 1024;
  /** Where the first name of a file with several was put. */
  readonly #links = new Map<string, string[]>();

  /** `targetFd` is the folder. */
  constructor(
    readonly targetFd: number,
    readonly owner?: Owner,
  ) {}

  /** What is behind `source`, an O_PATH descriptor, as `name` in the folder: a file in place of a file, a folder into a folder. */
  copy(source: number, name: string): void {
    this.#node(source, this.targetFd, [name]);
  }

  /** All that is in the folder behind `source`. */
  copyContents(source: number): void {
    this.#children(source, this.targetFd, []);
  }

  #node(source: number, parent: number, path: string[]): void {
    const status = statAt(source, "");
    const kind = status.mode & S_IFMT;
    if (kind === S_IFSOCK) return; // archives have none either
    const name = path.at(-1)!;
    const there = statAtBytes(parent, name);
    if (there) makeWay(parent, name, isDirectory(there), kind === S_IFDIR);
    this.archiveBytes += 512 + (kind === S_IFREG ? Math.ceil(status.size / 512) * 512 : 0);
    if (kind === S_IFDIR) this.#folder(source, parent, path);
    else if (!this.#linked(status, parent, path)) this.#leaf(source, status, parent, name);
  }

  #folder(source: number, parent: number, path: string[]): void {
    const name = path.at(-1)!;
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    if (!statAtBytes(parent, name)) mkdirAtBytes(parent, name, 0o700);
    const folder = openAtBytes(parent, name, flags);
    try {
      const attributes = this.#children(source, folder, path);
      setAttributes(folder, this.#owned(attributes), this.skipped);
      setTimesOf(folder, attributes.accessed, attributes.modified); // last: what is put into a folder changes them
    } finally {
      close(folder);
    }
  }

  #children(source: number, folder: number, path: string[]) {
    const opened = openAtBytes(source, ".", O_RDONLY | O_DIRECTORY);
    try {
      for (const { name } of listDirectoryBytes(opened)) {
        const child = findAtBytes(opened, name, O_PATH | O_NOFOLLOW);
        if (child === undefined) continue; // removed meanwhile
        try {
          this.#node(child, folder, [...path, name]);
        } finally {
          close(child);
        }
      }
      return attributesOf(opened);
    } finally {
      close(opened);
    }
  }

  /** Names after the first of one file become hard links to that. */
  #linked({ links, deviceMajor, deviceMinor, inode }: Status, parent: number, path: string[]): boolean {
    if (links === 1) return false;
    const identity = `${deviceMajor}:${deviceMinor}:${inode}`;
    const first = this.#links.get(identity);
    if (!first) {
      this.#links.set(identity, path);
      return false;
    }
    const way = first.slice(0, -1).join("/") || ".";
    const flags = O_PATH | O_DIRECTORY;
    const folder = resolveBytes(this.targetFd, way, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (folder === undefined) return false;
    try {
      linkAtBytes(folder, first.at(-1)!, parent, path.at(-1)!);
      return true;
    } finally {
      close(folder);
    }
  }

  #leaf(source: number, status: Status, parent: number, name: string): void {
    const kind = status.mode & S_IFMT;
    if (kind === S_IFREG) return this.#file(source, parent, name);
    if (kind === S_IFLNK) symlinkAtBytes(readlinkAtBytes(source, ""), parent, name);
    else mknodAtBytes(parent, name, kind | 0o600, makeDevice(status.rdevMajor, status.rdevMinor));
    const attributes = { ...status, mode: status.mode & 0o7777, xattrs: [] };
    setAttributesAt(parent, name, this.#owned(attributes), kind, this.skipped);
  }

  #file(source: number, parent: number, name: string): void {
    const from = open(`/proc/self/fd/${source}`, O_RDONLY | O_NONBLOCK); // of an O_PATH descriptor: that very file
    try {
      const to = openAtBytes(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      try {
        const attributes = attributesOf(from);
        copyContent(from, to);
        setAttributes(to, this.#owned(attributes), this.skipped);
        setTimesOf(to, attributes.accessed, attributes.modified);
      } finally {
        close(to);
      }
    } finally {
      close(from);
    }
  }

  #owned<T extends { uid: number; gid: number }>(attributes: T): T {
    return this.owner ? { ...attributes, ...this.owner } : attributes;
  }
}

/** Docker's rules: a folder stays where a folder comes, a file makes way for what is none. */
export function makeWay(parent: number, name: string, isFolder: boolean, forFolder: boolean): void {
  if (isFolder && forFolder) return;
  if (isFolder) throw new PodError(`cannot overwrite directory ${JSON.stringify(toText(name))} with non-directory`);
  if (forFolder) throw new PodError(`cannot overwrite non-directory ${JSON.stringify(toText(name))} with directory`);
  removeAtBytes(parent, name, false);
}
