/** Where mounts come from and go to. Texts are Docker's (moby, volume/mounts). */

import { normalize, resolve } from "node:path";
import { config } from "../config.ts";
import { UsageError } from "../errors.ts";
import type { Propagation } from "../storage/container-mount.ts";

/** Throws UsageError where nothing can be mounted there. */
export function checkTarget(type: string, target: string): void {
  const fail = (why: string) => new UsageError(`invalid mount config for type "${type}": ${why}`);
  if (target === "") throw fail("field Target must not be empty");
  if (cleanPath(target) === "/") throw fail("invalid specification: destination can't be '/'");
  if (!target.startsWith("/")) throw fail(`invalid mount path: '${target}' mount path must be absolute`);
}

/** Without `.`, `..` and a slash at its end. */
export function cleanPath(path: string): string {
  return normalize(path).replace(/(?<=.)\/+$/, "");
}

/** A relative one belongs to the current directory; `~`, which no shell has seen in `--volume=~/x:/y`, is the caller's home. */
export function resolveSource(path: string): string {
  return resolve(path.replace(/^~(?=\/|$)/, config.home));
}

/** Throws UsageError for what mounts of a rootless container can't do. */
export function propagationOf(word: string): Propagation {
  if (/shared$/.test(word)) {
    throw new UsageError(
      `propagation mode ${word} is not supported: a rootless container's mounts can't reach the host`,
      {
        hint: "with rslave those of the host reach the container",
      },
    );
  }
  return word as Propagation;
}
