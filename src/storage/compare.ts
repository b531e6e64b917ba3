/** Two trees of files side by side. */

import { readSync } from "node:fs";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../ns/constants.ts";
import {
  getXattrOf,
  listDirectoryBytes,
  listXattrsOf,
  openAtBytes,
  readlinkAtBytes,
  statAtBytes,
  toText,
} from "../ns/sys/bytes.ts";
import { close, open, type Status, statAt } from "../ns/sys/file.ts";

/** What is the first thing in the folder `found` that is not as in `wanted`, such as `etc/motd is missing`; undefined where they are alike. */
export function firstDifference(wanted: string, found: string): string | undefined {
  const [a, b] = [wanted, found].map((dir) => open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)) as [number, number];
  try {
    return compareStatus(statAt(a, ""), statAt(b, ""), "/") ?? compareFolders(a, b, "");
  } finally {
    close(a);
    close(b);
  }
}

function compareFolders(a: number, b: number, path: string): string | undefined {
  const attribute = compareXattrs(a, b, path || "/");
  if (attribute) return attribute;
  const names = listDirectoryBytes(a).map(({ name }) => name);
  const known = new Set(names);
  const extra = listDirectoryBytes(b).find(({ name }) => !known.has(name));
  if (extra) return `${toText(path + extra.name)} does not belong there`;
  for (const name of names) {
    const difference = compareEntries(a, b, name, path + name);
    if (difference) return difference;
  }
  return undefined;
}

function compareEntries(a: number, b: number, name: string, path: string): string | undefined {
  const [wanted, found] = [statAtBytes(a, name)!, statAtBytes(b, name)];
  if (!found) return `${toText(path)} is missing`;
  const difference = compareStatus(wanted, found, path);
  if (difference) return difference;
  const kind = wanted.mode & S_IFMT;
  if (kind === S_IFLNK) {
    return readlinkAtBytes(a, name) === readlinkAtBytes(b, name) ? undefined : `${toText(path)} leads elsewhere`;
  }
  if (kind !== S_IFREG && kind !== S_IFDIR) return undefined;
  const compare = kind === S_IFDIR ? compareFolders : compareFiles;
  const fds = [a, b].map((dirFd) => openAtBytes(dirFd, name, O_RDONLY | O_NOFOLLOW)) as [number, number];
  try {
    return compare(...fds, kind === S_IFDIR ? `${path}/` : path);
  } finally {
    fds.forEach(close);
  }
}

function compareStatus(wanted: Status, found: Status, path: string): string | undefined {
  const pick = ({ mode, uid, gid, size, rdevMajor, rdevMinor, modified }: Status) => ({
    mode: mode.toString(8),
    owner: `${uid}:${gid}`,
    device: `${rdevMajor}:${rdevMinor}`,
    // Other times need not be the archive's: whiteouts have none, and folders need not be named at all.
    ...((mode & S_IFMT) === S_IFREG && { size, time: `${modified.seconds}.${modified.nanoseconds}` }),
  });
  const expected = Object.entries(pick(wanted));
  const actual: Record<string, unknown> = pick(found);
  const odd = expected.find(([key, value]) => actual[key] !== value);
  return odd && `${toText(path)} has the ${odd[0]} ${actual[odd[0]]}, not ${odd[1]}`;
}

function compareFiles(a: number, b: number, path: string): string | undefined {
  const attribute = compareXattrs(a, b, path);
  if (attribute) return attribute;
  for (;;) {
    const length = readSync(a, wantedBytes);
    if (readSync(b, foundBytes) !== length || wantedBytes.compare(foundBytes, 0, length, 0, length) !== 0) {
      return `${toText(path)} has other content`;
    }
    if (length === 0) return undefined;
  }
}
const wantedBytes = Buffer.alloc(1 << 18);
const foundBytes = Buffer.alloc(1 << 18);

function compareXattrs(a: number, b: number, path: string): string | undefined {
  const [wanted, found] = [a, b].map((fd) =>
    listXattrsOf(fd)
      .toSorted()
      .map((name) => `${name}=${getXattrOf(fd, name)?.toString("hex")}`)
      .join(),
  );
  return wanted === found ? undefined : `${toText(path)} has other extended attributes`;
}
