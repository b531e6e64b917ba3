/** A tar archive unpacked into a folder that is in use, as tar(1) does it: for `cp -` and `volume import`. Layers have rules of their own: extract.ts. */

import { type OwnerMap, sameOwner } from "../container-ids.ts";
import { PodError } from "../errors.ts";
import {
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFLNK,
} from "../ns/constants.ts";
import {
  linkAtBytes,
  mkdirAtBytes,
  mknodAtBytes,
  openAtBytes,
  resolveBytes,
  setTimesOf,
  statAtBytes,
  symlinkAtBytes,
  toText,
} from "../ns/sys/bytes.ts";
import { close, ftruncate, makeDevice } from "../ns/sys/file.ts";
import { readSync } from "../ns/sys/fs.ts";
import { type Skipped, setAttributes, setAttributesAt, type Times } from "./attributes.ts";
import { makeWay } from "./copytree.ts";
import { programMagics } from "./decompress.ts";
import { writeAt } from "./files.ts";
import { isDirectory } from "./lower.ts";
import { type TarEntry, type TarHandler, tarReader } from "./tar.ts";

/**
 * Reads `fd` to its end; returns how many bytes that were. Symlinks that are in the folder are followed, with the folder as
 * their root. `ownerOf` says whom an owner in the archive stands for.
 */
export function unpackInto(folderFd: number, fd: number, ownerOf: OwnerMap): number {
  const unpacking = new Unpacking(folderFd, ownerOf);
  const reader = tarReader(unpacking);
  const buffer = Buffer.alloc(256 << 10);
  let total = 0;
  for (let length: number; (length = readSync(fd, buffer)) > 0; total += length) {
    if (total === 0) refuseCompressed(buffer);
    reader.push(buffer.subarray(0, length));
  }
  reader.finish();
  unpacking.setTimes();
  return total;
}

/** The same of plain bytes as they come. */
export async function unpackStreamInto(folderFd: number, source: AsyncIterable<Uint8Array>): Promise<void> {
  const unpacking = new Unpacking(folderFd, sameOwner);
  const reader = tarReader(unpacking);
  let isFirst = true;
  for await (const chunk of source) {
    if (isFirst) refuseCompressed(Buffer.from(chunk.subarray(0, 16)));
    isFirst = false;
    reader.push(chunk);
  }
  reader.finish();
  unpacking.setTimes();
}

const magicNumbers = { gzip: /^1f8b/, zstd: /^28b52ffd/, ...programMagics };

function refuseCompressed(head: Buffer): void {
  const digits = head.toString("hex", 0, 10);
  const program = Object.entries(magicNumbers).find(([, magic]) => magic.test(digits))?.[0];
  if (!program) return;
  throw new PodError("the archive is compressed", { hint: `put \`${program} -dc |\` in front` });
}

class Unpacking implements TarHandler {
  readonly #skipped: Skipped = { devices: 0, xattrs: 0, owners: 0 };
  readonly #times: { steps: string[]; times: Times }[] = [];
  #file: { fd: number; entry: TarEntry } | undefined;

  constructor(
    readonly folderFd: number,
    readonly ownerOf: OwnerMap,
  ) {}

  entry(archived: TarEntry): void {
    const entry = { ...archived, ...this.ownerOf(archived) };
    const steps = toSteps(entry.name);
    const name = steps.at(-1);
    if (name === undefined && entry.kind !== "directory")
      throw new PodError("the archive is refused: its root is no folder");
    if (name === undefined) return; // the folder itself, which stays as it is
    const parent = this.#folder(steps.slice(0, -1));
    try {
      const there = statAtBytes(parent, name);
      if (there) makeWay(parent, name, isDirectory(there), entry.kind === "directory");
      if (entry.kind === "directory") this.#makeFolder(parent, steps, entry, there !== undefined);
      else this.#make(parent, name, entry);
    } finally {
      close(parent);
    }
  }

  data(bytes: Uint8Array, position: number): void {
    writeAt(this.#file!.fd, bytes, position);
  }

  end(): void {
    const { fd, entry } = this.#file!;
    ftruncate(fd, entry.size); // it may end in a hole
    setAttributes(fd, entry, this.#skipped);
    setTimesOf(fd, entry.accessed, entry.modified);
    close(fd);
  }

  /** Of folders: at the end, since what is put into a folder changes them. */
  setTimes(): void {
    for (const { steps, times } of this.#times) {
      const fd = resolveBytes(this.folderFd, steps.join("/"), O_RDONLY | O_DIRECTORY, RESOLVE_IN_ROOT);
      if (fd === undefined) continue;
      setTimesOf(fd, times.accessed, times.modified);
      close(fd);
    }
  }

  #makeFolder(parent: number, steps: string[], entry: TarEntry, isThere: boolean): void {
    const name = steps.at(-1)!;
    if (!isThere) mkdirAtBytes(parent, name, 0o700);
    const fd = openAtBytes(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    setAttributes(fd, entry, this.#skipped);
    close(fd);
    this.#times.push({ steps, times: entry });
  }

  #make(parent: number, name: string, entry: TarEntry): void {
    if (entry.kind === "file") {
      this.#file = { fd: openAtBytes(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600), entry };
      return;
    }
    if (entry.kind === "link") return this.#link(parent, name, toSteps(entry.linkName));
    const kinds = { symlink: S_IFLNK, character: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO, directory: 0 };
    const kind = kinds[entry.kind];
    if (kind === S_IFLNK) symlinkAtBytes(entry.linkName, parent, name);
    else mknodAtBytes(parent, name, kind | 0o600, makeDevice(entry.major, entry.minor));
    setAttributesAt(parent, name, entry, kind, this.#skipped);
  }

  #link(parent: number, name: string, target: string[]): void {
    const folder = this.#folder(target.slice(0, -1));
    linkAtBytes(folder, target.at(-1) ?? ".", parent, name);
    close(folder);
  }

  /** Made where it is missing. */
  #folder(steps: string[]): number {
    const path = steps.join("/") || ".";
    const fd = resolveBytes(this.folderFd, path, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT);
    if (fd !== undefined) return fd;
    const parent = this.#folder(steps.slice(0, -1));
    mkdirAtBytes(parent, steps.at(-1)!, 0o755);
    close(parent);
    return this.#folder(steps);
  }
}

function toSteps(name: string): string[] {
  const steps = name.split("/").filter((step) => step !== "" && step !== ".");
  if (steps.includes("..")) throw new PodError(`the archive is refused: ${toText(name)} would lead out of the folder`);
  return steps;
}
