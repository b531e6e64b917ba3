/** `--userns` and `--network container:…`: what the first process has to have from its birth, and could not be known before. */

import type { ContainerIds } from "./container-ids.ts";
import { networkFdOf } from "./container-network.ts";
import { PodError } from "./errors.ts";
import type { InitMaps } from "./ns/prestart.ts";
import type { InitWish } from "./ns/replace-init.ts";
import { mappedIds } from "./ns/userns.ts";
import { idMappings } from "./runtimespec.ts";
import type { IdMapping } from "./spec.ts";
import type { ContainerRecord } from "./storage/containers.ts";

/** Throws PodError where the user's namespace has not got the ids. */
export function toInitWish(record: ContainerRecord): InitWish {
  const { container } = record.network;
  const maps = record.userns && mapsOf(record, record.userns);
  return { maps, networkFd: container === undefined ? undefined : networkFdOf(container) };
}

function mapsOf(record: ContainerRecord, userns: ContainerIds): InitMaps {
  const [uids, gids] = [mappedIds("uid"), mappedIds("gid")];
  const maps = idMappings(record, { uids, gids });
  const isComplete =
    userns.mode === "auto"
      ? countIds(maps.uidMappings) === countIds(userns.uidMappings) &&
        countIds(maps.gidMappings) === countIds(userns.gidMappings)
      : hasOthers(uids) && hasOthers(gids) && isMapped(userns.uid, uids) && isMapped(userns.gid, gids);
  if (isComplete) return maps;
  const what = userns.mode === "auto" ? "not all of the container's ids are" : `${userns.uid}:${userns.gid} is none`;
  throw new PodError(`user namespace mode ${userns.mode}: ${what} of the ids that you have here`, {
    hint: "/etc/subuid and /etc/subgid give you ids",
  });
}

/** Than the caller's own. */
function hasOthers(ranges: IdMapping[]): boolean {
  return ranges.some(({ containerID }) => containerID > 0);
}

function isMapped(id: number, ranges: IdMapping[]): boolean {
  return ranges.some(({ containerID, size }) => id >= containerID && id < containerID + size);
}

function countIds(ranges: IdMapping[]): number {
  return ranges.reduce((sum, { size }) => sum + size, 0);
}
