/** `--userns auto`: a range of ids for each container, disjoint from those of all others. As podman's (containers/storage, userns.go). */

import type { AutoIds, IdKind } from "./container-ids.ts";
import { PodError, UsageError } from "./errors.ts";
import type { IdRange } from "./ns/idmap.ts";
import { idMaps } from "./ns/mappers.ts";
import { resolveUser } from "./ns/user.ts";
import type { IdMapping } from "./spec.ts";
import { listContainers } from "./storage/containers.ts";
import { withLock } from "./storage/files.ts";
import { readInImage } from "./storage/image-files.ts";
import type { Image } from "./storage/images.ts";
import type { AutoWish } from "./userns-option.ts";

/**
 * Ids that no recorded container has, but the one whose place this takes: they are a container's once that is recorded under
 * `withIdsLock`. Throws UsageError and PodError, also where a record can't be read: whose ids are free is unknown then.
 */
export function freeIds(wish: AutoWish, image: Image, user: string, replaced?: string): AutoIds {
  const wanted =
    wish.size === undefined
      ? neededIds(readInImage(image, "etc/passwd"), readInImage(image, "etc/group"), user)
      : [{ start: 0, count: wish.size }];
  const taken = listContainers().flatMap(({ record: { userns, name } }) =>
    userns?.mode === "auto" && name !== replaced ? [userns] : [],
  );
  return chooseIds(wanted, wish, idMaps(), taken);
}

/** Held from looking for free ids to recording who has them. */
export function withIdsLock(action: () => void): void {
  withLock("auto-ids", action);
}

const minimumSize = 1024;
const nobody = 65534; // most images have this account: it gets its id without all those below

/** The container's ids that the image's accounts and the program's user need. */
export function neededIds(passwd: string, group: string, user: string): IdRange[] {
  const fields = (text: string, columns: number[]) =>
    text.split("\n").flatMap((line) => columns.map((column) => Number(line.split(":")[column] || 0)));
  const { uid, gid } = resolveUser(user, passwd, group);
  const ids = [...fields(passwd, [2, 3]), ...fields(group, [2]), uid, gid].filter(Number.isSafeInteger);
  const size = Math.max(minimumSize, ...ids.filter((id) => id !== nobody).map((id) => id + 1));
  const isOutside = ids.includes(nobody) && size <= nobody;
  return [{ start: 0, count: size }, ...(isOutside ? [{ start: nobody, count: 1 }] : [])];
}

/** `parents` is what the user's namespace maps: id 0 there is the caller, whom a container gets only where that was asked for. */
export function chooseIds(
  wanted: IdRange[],
  wish: AutoWish,
  parents: Record<IdKind, IdMapping[]>,
  taken: AutoIds[],
): AutoIds {
  const choose = (kind: IdKind) => {
    const wished = wish[`${kind}Mappings`];
    const ids = parents[kind].map(containerRange);
    checkWished(wished, kind, ids);
    const others = taken.flatMap((each) => each[`${kind}Mappings`]).map(hostRange);
    const free = without(ids, [{ start: 0, count: 1 }, ...wished.map(hostRange), ...others]);
    const missing = without(wanted, wished.map(containerRange));
    if (count(missing) > count(free)) throw exhausted(kind, count(missing), count(free), taken.length);
    return [...wished, ...pair(missing, free)].toSorted((a, b) => a.containerID - b.containerID);
  };
  return { mode: "auto", uidMappings: choose("uid"), gidMappings: choose("gid") };
}

function containerRange({ containerID, size }: IdMapping): IdRange {
  return { start: containerID, count: size };
}

function hostRange({ hostID, size }: IdMapping): IdRange {
  return { start: hostID, count: size };
}

function checkWished(wished: IdMapping[], kind: IdKind, ids: IdRange[]): void {
  for (const range of [containerRange, hostRange]) {
    const sorted = wished.map(range).toSorted((a, b) => a.start - b.start);
    if (sorted.some(({ start }, index) => index > 0 && start < end(sorted[index - 1]!))) {
      throw new UsageError(`the ranges of ${kind}mapping overlap`);
    }
  }
  const missing = without(wished.map(hostRange), ids)[0];
  if (!missing) return;
  const last = Math.max(...ids.map(end)) - 1;
  throw new UsageError(`${kind}mapping: ${missing.start} is none of your ids, which go from 0, you, to ${last}`);
}

function exhausted(kind: IdKind, wanted: number, free: number, others: number): PodError {
  const holders = others
    ? `; ${others === 1 ? "1 container has ids of its" : `${others} containers have ids of their`} own`
    : "";
  return new PodError(
    `user namespace mode auto: could not find enough available ${kind}s: ${wanted} are wanted, and ${free} of yours are free${holders}`,
    {
      hint: `auto:size=SIZE takes fewer, \`pod rm\` of such a container gives its ids back, and root can add more: usermod --add-sub${kind}s`,
    },
  );
}

/** What of `ranges` is in none of `others`, in the same order. */
function without(ranges: IdRange[], others: IdRange[]): IdRange[] {
  return others.reduce((rest, other) => rest.flatMap((range) => difference(range, other)), ranges);
}

function difference(range: IdRange, other: IdRange): IdRange[] {
  const before = { start: range.start, count: Math.min(end(range), other.start) - range.start };
  const from = Math.max(range.start, end(other));
  return [before, { start: from, count: end(range) - from }].filter((part) => part.count > 0);
}

/** Ids for all of `wanted`, the first of `free`. */
function pair(wanted: IdRange[], free: IdRange[]): IdMapping[] {
  const [want, ...others] = wanted;
  const [have, ...more] = free;
  if (!want || !have) return [];
  const size = Math.min(want.count, have.count);
  const rest = ({ start, count }: IdRange) => (count > size ? [{ start: start + size, count: count - size }] : []);
  return [
    { containerID: want.start, hostID: have.start, size },
    ...pair([...rest(want), ...others], [...rest(have), ...more]),
  ];
}

function end({ start, count }: IdRange): number {
  return start + count;
}

function count(ranges: IdRange[]): number {
  return ranges.reduce((sum, range) => sum + range.count, 0);
}
