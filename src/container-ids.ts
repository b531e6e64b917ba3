/**
 * `--userns`: which ids of the user's namespace a container's ids are, where these are not the same. With `keep-id` and
 * `caller` one of them, its user's, is the caller's own, which is id 0 of the user's namespace, and those below it move up
 * by one there; with `auto` the container has a range that no other one has.
 */

import type { IdMapping } from "./spec.ts";

export type ContainerIds = KeptIds | AutoIds;

/** Which ids of the container are the caller's. */
export interface KeptIds {
  mode: "keep-id" | "caller";
  uid: number;
  gid: number;
}

/** The ids that it has, as those of the user's namespace. */
export interface AutoIds {
  mode: "auto";
  uidMappings: IdMapping[];
  gidMappings: IdMapping[];
}

export type IdKind = "uid" | "gid";

export interface Owner {
  uid: number;
  gid: number;
}

/** Turns an owner on disk into whom it stands for. */
export type OwnerMap = (owner: Owner) => Owner;

export const sameOwner: OwnerMap = (owner) => owner;

const idMaximum = 2 ** 31 - 1;

/** What the kernel and fuse-overlayfs show for an id that is not mapped: user_namespaces(7). */
const overflowId = 65534;

/** The container's ids as those of a user's namespace that maps all there are. */
export function wholeMapping(ids: ContainerIds, kind: IdKind): IdMapping[] {
  if (ids.mode === "auto") return ids[`${kind}Mappings`];
  const kept = ids[kind];
  return [
    { containerID: 0, hostID: 1, size: kept },
    { containerID: kept, hostID: 0, size: 1 },
    { containerID: kept + 1, hostID: kept + 1, size: idMaximum - kept - 1 },
  ].filter(({ size }) => size > 0);
}

/** The same of a user's namespace with the ranges `parents`, from which none may reach into two: user_namespaces(7). */
export function nestedMapping(ids: ContainerIds, kind: IdKind, parents: IdMapping[]): IdMapping[] {
  return wholeMapping(ids, kind).flatMap((range) => parents.flatMap((parent) => common(range, parent)));
}

function common({ containerID, hostID, size }: IdMapping, parent: IdMapping): IdMapping[] {
  const from = Math.max(hostID, parent.containerID);
  const to = Math.min(hostID + size, parent.containerID + parent.size);
  return from < to ? [{ containerID: containerID + from - hostID, hostID: from, size: to - from }] : [];
}

/** fuse-overlayfs(1), `uidmapping`: how ids on disk are shown. */
export function fuseMapping(ids: ContainerIds, kind: IdKind): string {
  return wholeMapping(ids, kind)
    .map(({ containerID, hostID, size }) => `${containerID}:${hostID}:${size}`)
    .join(":");
}

/** An owner of the container's as the user's namespace has it; undefined where the container has no such id. */
export function outerOwner({ uid, gid }: Owner, ids: ContainerIds | undefined): Owner | undefined {
  if (!ids) return { uid, gid };
  const outer = (id: number, kind: IdKind) => {
    const range = wholeMapping(ids, kind).find((each) => id >= each.containerID && id < each.containerID + each.size);
    return range && range.hostID + id - range.containerID;
  };
  const [outerUid, outerGid] = [outer(uid, "uid"), outer(gid, "gid")];
  return outerUid === undefined || outerGid === undefined ? undefined : { uid: outerUid, gid: outerGid };
}

/** An owner of the user's namespace as the container has it. */
export function innerOwner({ uid, gid }: Owner, ids: ContainerIds): Owner {
  const inner = (id: number, kind: IdKind) => {
    const range = wholeMapping(ids, kind).find((each) => id >= each.hostID && id < each.hostID + each.size);
    return range ? range.containerID + id - range.hostID : overflowId;
  };
  return { uid: inner(uid, "uid"), gid: inner(gid, "gid") };
}
