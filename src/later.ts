/** What is left to do when a command has done what it was asked for: nobody waits for it. */

import { join } from "node:path";
import { config } from "./config.ts";
import { setTitle } from "./ns/sys/fork.ts";
import { syncLayers } from "./storage/layer-sync.ts";
import { paths } from "./storage/store.ts";

/**
 * Starts a process that waits until the layers extracted so far are on disk, records it and ends. Where it is killed,
 * the next one does it. In the user's namespace.
 */
export function syncLayersLater(): void {
  const program = config.isCompiled ? [] : [join(import.meta.dir, "main.ts")];
  const child = Bun.spawn(["/proc/self/exe", ...program, "__sync"], {
    argv0: "pod sync",
    cwd: paths.root,
    env: config.stageEnvironment(),
    stdio: ["ignore", "ignore", "ignore"],
    detached: true, // a session of its own: ^C and the terminal's end are the command's
  });
  child.unref();
}

/** The stage: main.ts calls it. Returns its exit code. */
export function runSync(): number {
  setTitle("pod sync");
  syncLayers();
  return 0;
}
