/** A file of a lower layer, copied whole into the layer above. */

import { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY, S_IFLNK, S_IFMT, S_IFREG } from "../ns/constants.ts";
import { mknodAtBytes, openAtBytes, readlinkAtBytes, setTimesOf, symlinkAtBytes } from "../ns/sys/bytes.ts";
import { close, makeDevice } from "../ns/sys/file.ts";
import { attributesOf, type Skipped, setAttributes, setAttributesAt } from "./attributes.ts";
import { copyContent } from "./content.ts";
import type { LowerFile } from "./lower.ts";

/** Makes `name` in the folder behind `dirFd` like the file `below`, which is no folder. */
export function copyUp(below: LowerFile, dirFd: number, name: string, skipped: Skipped): void {
  const { mode, rdevMajor, rdevMinor } = below.status;
  const kind = mode & S_IFMT;
  if (kind === S_IFREG) {
    copyFile(below, dirFd, name, skipped);
    return;
  }
  if (kind === S_IFLNK) symlinkAtBytes(readlinkAtBytes(below.dirFd, below.name), dirFd, name);
  else mknodAtBytes(dirFd, name, kind | 0o600, makeDevice(rdevMajor, rdevMinor));
  setAttributesAt(dirFd, name, { ...below.status, mode: mode & 0o7777, xattrs: [] }, kind, skipped);
}

function copyFile(below: LowerFile, dirFd: number, name: string, skipped: Skipped): void {
  const source = openAtBytes(below.dirFd, below.name, O_RDONLY | O_NOFOLLOW);
  const target = openAtBytes(dirFd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    const attributes = attributesOf(source);
    copyContent(source, target);
    setAttributes(target, attributes, skipped);
    setTimesOf(target, attributes.accessed, attributes.modified);
  } finally {
    close(source);
    close(target);
  }
}
