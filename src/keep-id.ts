/**
 * `--userns keep-id` and `caller`: one id of the container, its user's, is the caller's own, which is id 0 of the user's namespace;
 * the container's ids below it move up by one there. What belongs to root in an image belongs to id 1 then, which
 * fuse-overlayfs shows so: no file is changed.
 */

import { UsageError } from "./errors.ts";
import type { IdMapping } from "./spec.ts";

/** `--userns` as asked for; what is missing is the caller's own. */
export type UsernsWish = { mode: "keep-id"; uid?: number; gid?: number } | { mode: "caller" };

/** Which ids of the container are the caller's. */
export interface KeptIds {
  mode: UsernsWish["mode"];
  uid: number;
  gid: number;
}

/** Undefined is the usual: the container's root is the caller. Throws UsageError. */
export function parseUserns(text: string): UsernsWish | undefined {
  if (text === "" || text === "host") return undefined;
  if (text === "caller") return { mode: "caller" };
  const [, mode, settings = ""] = /^(keep-id)(?::(.*))?$/.exec(text) ?? [];
  if (!mode) {
    throw new UsageError(`user namespace mode ${text} is not supported`, {
      hint: "there are keep-id[:uid=UID,gid=GID] and caller",
    });
  }
  const ids: { uid?: number; gid?: number } = {};
  for (const setting of settings ? settings.split(",") : []) {
    const [, kind, id] = /^(uid|gid)=(\d{1,9})$/.exec(setting) ?? [];
    if (!kind) throw new UsageError(`unknown option specified: ${JSON.stringify(setting)}`);
    ids[kind as "uid" | "gid"] = Number(id);
  }
  return { mode: "keep-id", ...ids };
}

/** The container's ids as those of the user's namespace: `parents` are that one's, from which none may reach into two. */
export function keptIdMap(parents: IdMapping[], kept: number): IdMapping[] {
  const end = Math.max(...parents.map(({ containerID, size }) => containerID + size));
  return shifted(kept, end).flatMap((range) => parents.flatMap((parent) => common(range, parent)));
}

function shifted(kept: number, end: number): IdMapping[] {
  return [
    { containerID: 0, hostID: 1, size: Math.min(kept, end - 1) },
    { containerID: kept, hostID: 0, size: 1 },
    { containerID: kept + 1, hostID: kept + 1, size: end - kept - 1 },
  ].filter(({ size }) => size > 0);
}

function common({ containerID, hostID, size }: IdMapping, parent: IdMapping): IdMapping[] {
  const from = Math.max(hostID, parent.containerID);
  const to = Math.min(hostID + size, parent.containerID + parent.size);
  return from < to ? [{ containerID: containerID + from - hostID, hostID: from, size: to - from }] : [];
}

const idMaximum = 2 ** 31 - 1;

/** fuse-overlayfs(1), `uidmapping`: how ids on disk are shown. */
export function fuseMapping(kept: number): string {
  return shifted(kept, idMaximum)
    .map(({ containerID, hostID, size }) => `${containerID}:${hostID}:${size}`)
    .join(":");
}

/** An id of the container as the user's namespace has it. */
export function outerId(id: number, kept: number | undefined): number {
  if (kept === undefined || id > kept) return id;
  return id === kept ? 0 : id + 1;
}
