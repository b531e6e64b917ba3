/** `events`: what happened, and what happens, from `since` until `until`. Woken by inotify(7), no polling. */

import { POLLIN } from "./ns/constants.ts";
import { forgetChanges, patienceMs, poll, watchPaths } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { EventReader, type PodEvent } from "./storage/events.ts";
import { paths } from "./storage/store.ts";

export interface EventRange {
  /** Nanoseconds since 1970. Without it only what happens from now on. */
  since?: bigint;
  /** Without it there is no end. */
  until?: bigint;
}

export function* watchEvents({ since, until }: EventRange): Generator<PodEvent> {
  const changes = watchPaths([paths.root]); // the file is replaced when it is full
  const reader = new EventReader({ past: since !== undefined });
  try {
    for (;;) {
      if (changes !== undefined) forgetChanges(changes);
      for (const event of reader.read()) {
        const time = BigInt(event.timeNs);
        const isWanted = (since === undefined || time >= since) && (until === undefined || time < until);
        if (isWanted) yield event; // where the clock was set back, it may be followed by earlier ones
      }
      const leftMs = until === undefined ? Number.POSITIVE_INFINITY : Number(until / 1_000_000n) - Date.now();
      if (leftMs <= 0) return;
      const waitMs = [leftMs, patienceMs(changes)].filter((ms) => ms >= 0 && ms < Number.POSITIVE_INFINITY);
      poll([{ fd: changes ?? -1, events: POLLIN }], waitMs.length ? Math.min(...waitMs) : -1);
    }
  } finally {
    if (changes !== undefined) close(changes);
    reader.close();
  }
}
