/** `--userns`, as podman words it: podman-run(1). */

import type { IdKind } from "./container-ids.ts";
import { UsageError } from "./errors.ts";
import type { IdMapping } from "./spec.ts";

/** As asked for; what is missing is the caller's own, or chosen. */
export type UsernsWish = { mode: "keep-id"; uid?: number; gid?: number } | { mode: "caller" } | AutoWish;

export interface AutoWish {
  mode: "auto";
  /** How many ids. */
  size?: number;
  /** Ids of the container, from `containerID` on, that are to be these of the user's namespace. */
  uidMappings: IdMapping[];
  gidMappings: IdMapping[];
}

/** Undefined is the usual: the container's root is the caller. Throws UsageError. */
export function parseUserns(text: string): UsernsWish | undefined {
  if (text === "" || text === "host") return undefined;
  if (text === "caller") return { mode: "caller" };
  const [, mode, settings] = /^(keep-id|auto)(?::(.*))?$/.exec(text) ?? [];
  if (!mode) {
    throw new UsageError(`user namespace mode ${text} is not supported`, {
      hint: "there are keep-id[:uid=UID,gid=GID], caller and auto[:size=SIZE,uidmapping=…,gidmapping=…]",
    });
  }
  const words = settings ? settings.split(",") : [];
  return mode === "auto" ? parseAuto(words) : parseKeepId(words);
}

function parseKeepId(settings: string[]): UsernsWish {
  const ids: { uid?: number; gid?: number } = {};
  for (const setting of settings) {
    const [, kind, id] = /^(uid|gid)=(\d{1,9})$/.exec(setting) ?? [];
    if (!kind) throw unknownSetting(setting);
    ids[kind as IdKind] = Number(id);
  }
  return { mode: "keep-id", ...ids };
}

function parseAuto(settings: string[]): AutoWish {
  const wish: AutoWish = { mode: "auto", uidMappings: [], gidMappings: [] };
  for (const setting of settings) {
    const [, size, kind, mapping] = /^(?:size=(\d{1,9})|(uid|gid)mapping=(.*))$/.exec(setting) ?? [];
    if (size !== undefined) wish.size = Number(size);
    else if (kind) wish[`${kind as IdKind}Mappings`].push(parseMapping(mapping!, setting));
    else throw unknownSetting(setting);
  }
  if (wish.size === 0) throw new UsageError("invalid user namespace size: it has to be one at least");
  return wish;
}

function parseMapping(text: string, setting: string): IdMapping {
  const [, containerID, hostID, size = "1"] = /^(\d{1,9}):(\d{1,9})(?::([1-9]\d{0,8}))?$/.exec(text) ?? [];
  if (hostID === undefined) {
    throw new UsageError(`invalid ID mapping: ${JSON.stringify(setting)}`, {
      hint: "CONTAINER_ID:ID[:SIZE], where ID 0 is you, and 1 the first of your subordinate ids",
    });
  }
  return { containerID: Number(containerID), hostID: Number(hostID), size: Number(size) };
}

function unknownSetting(setting: string): UsageError {
  return new UsageError(`unknown option specified: ${JSON.stringify(setting)}`);
}
