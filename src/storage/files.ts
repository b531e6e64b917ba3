/** Files of the store: whole or not at all, locks, temporary folders. */

import { basename, dirname, join } from "node:path";
import { hasCode, PodError, rootCause } from "../errors.ts";
import { AT_FDCWD, O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR } from "../ns/constants.ts";
import { close, lock, open, statAt, syncFs } from "../ns/sys/file.ts";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "../ns/sys/fs.ts";
import { removeTree } from "./remove.ts";
import { paths } from "./store.ts";
import { isOfLiveProcess, processTag } from "./tags.ts";

export { removeTree };

/**
 * Writes to a temporary name, syncs, renames: a reader sees the old bytes or the new ones. Within the store the
 * temporary file lies where `sweepTemporary` finds it, elsewhere beside `path`.
 */
export function writeFileAtomic(path: string, data: string | Uint8Array, mode = 0o644): void {
  const inStore = path.startsWith(`${paths.root}/`);
  const temporary = join(inStore ? paths.temporary : dirname(path), `${processTag()}-${basename(path)}`);
  try {
    const fd = openSync(temporary, "wx", mode);
    try {
      writeFileSync(fd, data);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new PodError(`write ${path}`, { cause: error });
  }
}

/** The parsed file, or undefined where there is none. A file that is not JSON is a PodError that names it. */
export function readJson<T>(path: string): T | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  return parseJson<T>(text, path);
}

/** JSON.parse with an error that says which file is damaged. */
export function parseJson<T>(text: string, path: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new PodError(`read ${path}: it is damaged`, {
      cause: error,
      hint: "`pod system check --repair` mends what it can",
    });
  }
}

export function writeJson(path: string, value: unknown): void {
  writeFileAtomic(path, `${JSON.stringify(value)}\n`);
}

/** Runs `action`, and where the disk is full once more with the store's reserve given up: for what removal has to write. */
export function withReserve<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!hasCode(rootCause(error), "ENOSPC", "EDQUOT")) throw error;
    rmSync(paths.reserve, { force: true });
    return action();
  }
}

/** Runs `action` while holding the store's lock `name`. For short work only; not to be nested for one name. */
export function withLock<T>(name: string, action: () => T): T {
  const path = join(paths.locks, name);
  for (;;) {
    const fd = open(path, O_RDWR | O_CREAT, 0o600);
    try {
      lock(fd, "exclusive");
      if (isStill(fd, path)) return action();
    } finally {
      close(fd);
    }
  }
}

/** The same for long work, such as one layer's extraction: waits without blocking the event loop. */
export async function withLockAsync<T>(name: string, action: () => Promise<T>): Promise<T> {
  const path = join(paths.locks, name);
  for (;;) {
    const fd = open(path, O_RDWR | O_CREAT, 0o600);
    try {
      while (!lock(fd, "exclusive", false)) await Bun.sleep(20);
      if (!isStill(fd, path)) continue;
      try {
        return await action();
      } finally {
        rmSync(path, { force: true }); // one file per digest would pile up; who waits sees that it is gone and begins anew
      }
    } finally {
      close(fd);
    }
  }
}

/** Whether `path` still names the file behind `fd`: a lock on a removed file excludes nobody. */
export function isStill(fd: number, path: string): boolean {
  const mine = statAt(fd, "");
  try {
    return statAt(AT_FDCWD, path).inode === mine.inode;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return false;
    throw error;
  }
}

/** Waits until all that was written to the store's file system is on disk. */
export function syncStore(): void {
  const fd = open(paths.root, O_RDONLY | O_DIRECTORY);
  try {
    syncFs(fd);
  } finally {
    close(fd);
  }
}

/** Waits until the names in a folder of the store are on disk: fsync(2). */
export function syncFolder(path: string): void {
  const fd = open(path, O_RDONLY | O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    close(fd);
  }
}

/** Waits, on another thread, until the content of a file is on disk. */
export async function syncFile(path: string): Promise<void> {
  const handle = await (await import("node:fs/promises")).open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes all bytes at `position` of the file: pwrite(2). */
export function writeAt(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}

/** A new, empty folder for this process, to be filled and renamed. */
export function makeTemporaryDir(): string {
  const path = join(paths.temporary, processTag());
  mkdirSync(path, { mode: 0o700 });
  return path;
}

/** Removes what dead processes left below `tmp/`. Cheap where there is nothing. */
export function sweepTemporary(): void {
  for (const name of readdirSync(paths.temporary)) {
    if (!isOfLiveProcess(name)) removeTree(join(paths.temporary, name));
  }
}
