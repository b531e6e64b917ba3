/** What a restart policy asks for when a container's program has ended. */

import type { RestartPolicy } from "./storage/containers.ts";

/**
 * Milliseconds until it is to be started again; undefined where it is not. As in Docker the delay doubles from 100 ms to
 * a minute, and begins anew after ten seconds of life. `restartCount`: how often that was done since a user started it.
 */
export function restartDelayMs(
  { name, maximumRetryCount }: RestartPolicy,
  { exitCode, restartCount, livedMs }: { exitCode: number; restartCount: number; livedMs: number },
): number | undefined {
  const isTriedEnough = maximumRetryCount > 0 && restartCount >= maximumRetryCount;
  if (name === "no" || (name === "on-failure" && (exitCode === 0 || isTriedEnough))) return undefined;
  return livedMs >= 10_000 ? 100 : Math.min(60_000, 100 * 2 ** Math.min(restartCount, 10));
}
