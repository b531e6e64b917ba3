/** What bind mounts show: whether it is there, and may be used. */

import { PodError } from "../errors.ts";
import { S_IFBLK, S_IFCHR, S_IFMT } from "../ns/constants.ts";
import { canAccess, existsSync, mkdirSync, statSync } from "../ns/sys/fs.ts";
import type { BindMount } from "../storage/container-mount.ts";

/** Makes a source that is missing where it may; true where it did. Throws PodError with Docker's texts. */
export function readySource(mount: BindMount): boolean {
  const { source, makesSource } = mount;
  if (mount.origin === "device") checkDevice(source);
  if (existsSync(source)) return false;
  if (!makesSource)
    throw new PodError(`invalid mount config for type "bind": bind source path does not exist: ${source}`);
  try {
    mkdirSync(source, { recursive: true }); // as Docker does for `-v`: an empty folder, which is the caller's
  } catch (cause) {
    throw new PodError(`make the missing bind source ${source}`, { cause });
  }
  return true;
}

/** It is bound as it is, so that the container can do with it what the caller can. */
function checkDevice(path: string): void {
  const fail = (why: string) =>
    new PodError(`error gathering device information while adding custom device ${JSON.stringify(path)}: ${why}`);
  if (!existsSync(path)) throw fail("no such file or directory");
  if (![S_IFCHR, S_IFBLK].includes(statSync(path).mode & S_IFMT)) throw fail("not a device node");
  if (canAccess(path)) return;
  throw new PodError(`device ${path} is not open to you, so that it can't be to a container`, {
    hint: `a container has your user id, and none of your groups: root can open it by \`setfacl -m u:NAME:rw ${path}\``,
  });
}
