/**
 * Who has mounted a container's root file system: its monitor, or a command that looks into one that does not run. Two
 * overlays with one work folder disturb each other (the kernel's overlayfs.rst, "Sharing and copying layers").
 */

import { O_DIRECTORY, O_RDONLY } from "../ns/constants.ts";
import { close, lock, open } from "../ns/sys/file.ts";
import { containerDir } from "./containers.ts";

/** flock(2) on the container's folder. A descriptor to close afterwards; without `wait` undefined where somebody else has it. */
export function lockRoot(id: string, wait: boolean): number | undefined {
  const fd = open(containerDir(id), O_RDONLY | O_DIRECTORY);
  if (lock(fd, "exclusive", wait)) return fd;
  close(fd);
  return undefined;
}
