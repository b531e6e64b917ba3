/** `events`: what happened, and what happens, from `since` until `until`. Woken by inotify, no polling. */

import { EventReader, type PodEvent } from "./storage/events.ts";
import { paths } from "./storage/store.ts";

export interface EventRange {
  /** Nanoseconds since 1970. Without it only what happens from now on. */
  since?: bigint;
  /** Without it there is no end. */
  until?: bigint;
}

export async function* watchEvents({ since, until }: EventRange): AsyncGenerator<PodEvent> {
  const { watch } = await import("node:fs");
  let wake = () => {};
  const watcher = watch(paths.root, (_, name) => name === "events" && wake());
  const reader = new EventReader({ past: since !== undefined });
  try {
    for (;;) {
      const woken = new Promise<void>((resolve) => (wake = resolve));
      for (const event of reader.read()) {
        const time = BigInt(event.timeNs);
        if (until !== undefined && time >= until) return;
        if (since === undefined || time >= since) yield event;
      }
      const leftMs = until === undefined ? undefined : Number(until / 1_000_000n) - Date.now();
      if (leftMs !== undefined && leftMs <= 0) return;
      await (leftMs === undefined ? woken : Promise.race([woken, Bun.sleep(leftMs)]));
    }
  } finally {
    watcher.close();
    reader.close();
  }
}
