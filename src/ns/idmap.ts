/** Which ids the user may map: /etc/subuid, /etc/subgid (subuid(5)) and the maps made of them (user_namespaces(7)). */

import type { IdMapping } from "../spec.ts";
import { readText } from "./sys/file.ts";

/** A range of subordinate ids: `count` of them from `start` on. */
export interface IdRange {
  start: number;
  count: number;
}

/** Real root has no line in /etc/subuid on Debian; it takes this range, far above any that useradd hands out. */
export const rootRange: IdRange = { start: 2_000_000_000, count: 65_536 };

/** The ranges of one user in a file of `name-or-uid:start:count` lines. */
export function parseSubordinateIds(text: string, userName: string | undefined, uid: number): IdRange[] {
  return text
    .split("\n")
    .map((line) => line.trim().split(":"))
    .filter(([owner, start, count]) => (owner === userName || owner === String(uid)) && start && count)
    .map(([, start, count]) => ({ start: Number(start), count: Number(count) }))
    .filter(({ start, count }) => Number.isSafeInteger(start) && Number.isSafeInteger(count) && count > 0);
}

/** Container ids from 0 on without a gap: first the user's own id, then the subordinate ones. */
export function toMappings(ownId: number | undefined, ranges: IdRange[]): IdMapping[] {
  const own = ownId === undefined ? [] : [{ containerID: 0, hostID: ownId, size: 1 }];
  let next = own.length;
  return [
    ...own,
    ...ranges.map(({ start, count }) => {
      const mapping = { containerID: next, hostID: start, size: count };
      next += count;
      return mapping;
    }),
  ];
}

/** The arguments of newuidmap(1) after the pid, three to a mapping. */
export function toMapArguments(mappings: IdMapping[]): string[] {
  return mappings.flatMap(({ containerID, hostID, size }) => [containerID, hostID, size].map(String));
}

/** The maps of this user's namespace, or why only the one own id can be mapped. */
export interface IdMaps {
  uid: IdMapping[];
  gid: IdMapping[];
  /** Set where subordinate ids are missing: what is missing, for the note to the user. */
  singleIdReason?: string;
}

/** Root of a user namespace, such as a container's, is no `isHostRoot`: it has what /etc/subuid gives it, or one id. */
export function readIdMaps(
  uid: number,
  gid: number,
  { isHostRoot, hasNewidmap }: { isHostRoot: boolean; hasNewidmap: boolean },
): IdMaps {
  if (isHostRoot) return { uid: toMappings(undefined, [rootRange]), gid: toMappings(undefined, [rootRange]) };
  const userName = userNameOf(uid);
  const ranges = (file: string) => parseSubordinateIds(readOrEmpty(file), userName, uid);
  const [uids, gids] = [ranges("/etc/subuid"), ranges("/etc/subgid")];
  const missing = !hasNewidmap
    ? "newuidmap and newgidmap are not installed (Debian and Ubuntu: package uidmap)"
    : uids.length === 0 || gids.length === 0
      ? `no range for ${userName ?? uid} in ${uids.length ? "/etc/subgid" : "/etc/subuid"} (root adds one: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${userName ?? uid})`
      : undefined;
  if (missing) return { uid: toMappings(uid, []), gid: toMappings(gid, []), singleIdReason: missing };
  return { uid: toMappings(uid, uids), gid: toMappings(gid, gids) };
}

/** In /etc/passwd. */
export function userNameOf(uid: number): string | undefined {
  const line = readOrEmpty("/etc/passwd")
    .split("\n")
    .find((candidate) => candidate.split(":")[2] === String(uid));
  return line?.split(":")[0];
}

function readOrEmpty(path: string): string {
  try {
    return readText(path);
  } catch {
    return "";
  }
}
