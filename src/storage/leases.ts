/**
 * What processes use before any record names it: one flocked file each below `locks/leases/`, with a name per line.
 * The lock goes with the process, so a lease can't outlive it.
 */

import { join } from "node:path";
import { hasCode, PodError } from "../errors.ts";
import { O_CREAT, O_EXCL, O_RDONLY, O_RDWR } from "../ns/constants.ts";
import { close, lock, open } from "../ns/sys/file.ts";
import { appendFileSync, readdirSync, readFileSync, rmSync } from "../ns/sys/fs.ts";
import { withLock } from "./files.ts";
import { paths } from "./store.ts";
import { processTag } from "./tags.ts";

/** Taken while leases are made and while garbage is collected: what a lease names before its holder looks is not collected after. */
export const leasesLock = "leases-lock";

/**
 * Keeps digests and chainIds from collection until `release` or the end of this process. Take the lease first, look
 * whether the things are there afterwards, and release it once a record (the index, a container) names them. A function
 * is called while nothing can be collected.
 */
export function holdLease(names: string[] | (() => string[])): { add(names: string[]): void; release(): void } {
  const path = join(paths.leases, processTag());
  let fd: number | undefined = withLock(leasesLock, () => {
    const lease = open(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
    lock(lease, "exclusive");
    append(path, typeof names === "function" ? names() : names);
    return lease;
  });
  return {
    add: (more) => withLock(leasesLock, () => append(path, more)),
    release() {
      if (fd === undefined) return;
      rmSync(path, { force: true });
      close(fd);
      fd = undefined;
    },
  };
}

/** All names leased by processes that live; the files of others are removed. To be called under `leasesLock`. */
export function leasedNames(): Set<string> {
  const names = new Set<string>();
  for (const file of readdirSync(paths.leases)) {
    const path = join(paths.leases, file);
    try {
      const fd = open(path, O_RDONLY);
      try {
        if (lock(fd, "exclusive", false)) rmSync(path, { force: true });
        else for (const name of readFileSync(path, "utf8").split("\n").filter(Boolean)) names.add(name);
      } finally {
        close(fd);
      }
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error; // released meanwhile
    }
  }
  return names;
}

/** The pids of those that hold leases. To be called under `leasesLock`. */
export function leaseHolders(): number[] {
  leasedNames(); // leaves those of processes that live
  return [...new Set(readdirSync(paths.leases).map((file) => Number.parseInt(file, 10)))];
}

/** Removes the leases of dead processes. Cheap where there are none. */
export function sweepLeases(): void {
  if (readdirSync(paths.leases).length > 0) withLock(leasesLock, leasedNames);
}

function append(path: string, names: string[]): void {
  try {
    appendFileSync(path, names.map((name) => `${name}\n`).join(""));
  } catch (cause) {
    throw new PodError(`write ${path}`, { cause });
  }
}
