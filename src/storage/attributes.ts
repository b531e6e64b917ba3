/** Owner, mode, extended attributes and times of what a layer holds, in the order in which they keep one another. */

import { sameOwner } from "../container-ids.ts";
import { hasCode } from "../errors.ts";
import { S_IFLNK } from "../ns/constants.ts";
import { chmodAtBytes, chownAtBytes, getXattrOf, listXattrsOf, setTimesAtBytes, setXattrOf } from "../ns/sys/bytes.ts";
import { fchmod, fchown, statAt, type Time } from "../ns/sys/file.ts";

export interface Attributes {
  /** Permissions with setuid, setgid and sticky; of a symlink they mean nothing. */
  mode: number;
  uid: number;
  gid: number;
  /** Names as byte strings. */
  xattrs: [string, Buffer][];
}

export interface Times {
  accessed: Time;
  modified: Time;
}

/** What could not be made as the archive has it. */
export interface Skipped {
  /** Device nodes: the kernel allows them to nobody but real root. */
  devices: number;
  /** Extended attributes that the kernel refuses, or that would speak to the storage driver. */
  xattrs: number;
  /** Owners that the user namespace does not map. */
  owners: number;
}

/** A file whose owner is not mapped belongs to root and carries the wanted one here, as `uid:gid:mode` with the mode in octal. */
const ownerXattr = "user.pod.owner";

/** Attributes that are words to overlay drivers and to pod: an archive must not say them. */
const reservedXattrs = /^(trusted|user)\.overlay\.|^user\.(fuseoverlayfs|containers|pod)\./;

/**
 * Sets all but the times of a new regular file or folder that is open: owner first, since chown(2) clears setuid and
 * capabilities; then the mode; then the extended attributes.
 */
export function setAttributes(fd: number, wanted: Attributes, skipped: Skipped): void {
  if (wasChanged(() => fchown(fd, wanted.uid, wanted.gid))) {
    fchmod(fd, wanted.mode);
  } else {
    skipped.owners++;
    fchmod(fd, safeMode(wanted));
    const owner = `${wanted.uid}:${wanted.gid}:${wanted.mode.toString(8)}`;
    trySetXattr(fd, ownerXattr, Buffer.from(owner));
  }
  for (const [name, value] of wanted.xattrs) {
    if (reservedXattrs.test(name) || !trySetXattr(fd, name, value)) skipped.xattrs++;
  }
}

/** The same, and the times, for what can't be opened without effect: symlinks, devices, fifos. They carry no user attributes: xattr(7). */
export function setAttributesAt(
  dirFd: number,
  name: string,
  wanted: Attributes & Times,
  kind: number,
  skipped: Skipped,
): void {
  const isOwned = wasChanged(() => chownAtBytes(dirFd, name, wanted.uid, wanted.gid));
  if (!isOwned) skipped.owners++;
  if (kind !== S_IFLNK) chmodAtBytes(dirFd, name, isOwned ? wanted.mode : safeMode(wanted));
  skipped.xattrs += wanted.xattrs.length;
  setTimesAtBytes(dirFd, name, wanted.accessed, wanted.modified);
}

/** What an open file or folder of a lower layer has, or should have had; without the words to drivers. */
export function attributesOf(fd: number, ownerOf = sameOwner): Attributes & Times & { size: number } {
  const { mode, accessed, modified, size, ...status } = statAt(fd, "");
  const { uid, gid } = ownerOf(status);
  const names = listXattrsOf(fd).filter((name) => !reservedXattrs.test(name));
  const xattrs = names.map((name): [string, Buffer] => [name, getXattrOf(fd, name) ?? Buffer.alloc(0)]);
  const noted = getXattrOf(fd, ownerXattr)?.toString().split(":");
  const owner = noted
    ? { uid: Number(noted[0]), gid: Number(noted[1]), mode: Number.parseInt(noted[2]!, 8) }
    : { uid, gid, mode: mode & 0o7777 };
  return { ...owner, accessed, modified, size, xattrs };
}

/** setuid and setgid mean the wanted owner: on a file that belongs to root instead they would give root's rights. */
function safeMode({ mode, uid, gid }: Attributes): number {
  return mode & ~(uid === 0 ? 0 : 0o4000) & ~(gid === 0 ? 0 : 0o2000);
}

/** False where the owner is not mapped: EINVAL, or EPERM with one id only. */
function wasChanged(chown: () => void): boolean {
  return unlessCode(["EINVAL", "EPERM"], chown);
}

function trySetXattr(fd: number, name: string, value: Buffer): boolean {
  return unlessCode(["EPERM", "EOPNOTSUPP", "EINVAL"], () => setXattrOf(fd, name, value));
}

function unlessCode(codes: string[], action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (hasCode(error, ...codes)) return false;
    throw error;
  }
}
