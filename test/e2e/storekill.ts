/** SIGKILL of a command that changes the store, and what has to be true of the store afterwards. */

import { expect } from "bun:test";
import { readdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import type { Host } from "./harness.ts";

export interface KillCase {
  /** Arguments for pod. */
  command: string[];
  /** Runs before each round. */
  prepare?: () => Promise<unknown>;
  /** What has to be true after a kill, besides a store that is whole. */
  after?: () => Promise<unknown>;
}

/**
 * Kills the command once a round, at a moment from its start to its usual end. Afterwards `system check` finds nothing,
 * and when the kills are over a prune leaves nothing but what was there before.
 */
export async function killRounds(host: Host, rounds: number, random: () => number, one: KillCase): Promise<void> {
  await host.must("image", "prune", "-f");
  const before = contentOf(host);
  await one.prepare?.();
  const start = performance.now();
  await host.must(...one.command);
  const usualMs = performance.now() - start;
  for (let round = 0; round < rounds; round++) {
    await one.prepare?.();
    const delayMs = random() * usualMs;
    const child = host.spawn(...one.command);
    await Bun.sleep(delayMs);
    child.kill("SIGKILL");
    await child.exited;
    await expectWhole(host, `${one.command.join(" ")}, killed after ${delayMs.toFixed(1)} ms (round ${round})`);
    await one.after?.();
  }
  await host.pod("image", "prune", "-af");
  forgetPartials(host);
  await host.must("system", "prune", "-f");
  expect(contentOf(host)).toEqual(before);
}

/** `system check` finds nothing wrong. */
export async function expectWhole(host: Host, when: string): Promise<void> {
  const { code, stdout, stderr } = await host.pod("system", "check");
  if (code !== 0) throw new Error(`${when}: system check found\n${stdout}${stderr}`);
}

/** Everything in the store that a command may leave. */
export function contentOf(host: Host): string[] {
  const folders = ["blobs/sha256", "layers", "l", "partial", "tmp", "locks/leases", "containers", "names"];
  const locks = readdirSync(join(host.dataDir, "locks")).filter((name) => name.startsWith("layer-"));
  const files = folders.flatMap((folder) => readdirSync(join(host.dataDir, folder)).map((name) => `${folder}/${name}`));
  return [...files, ...locks].toSorted();
}

/** Makes interrupted pulls look eight days old. */
export function forgetPartials(host: Host): void {
  const folder = join(host.dataDir, "partial");
  for (const name of readdirSync(folder)) utimesSync(join(folder, name), 1, Date.now() / 1000 - 8 * 24 * 3600);
}
