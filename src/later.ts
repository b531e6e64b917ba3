/** What is left to do when a command has done what it was asked for: nobody waits for it. */

import { join } from "node:path";
import { config } from "./config.ts";
import { setTitle } from "./ns/sys/fork.ts";
import { hasUnsynced, syncLayers } from "./storage/layer-sync.ts";
import { paths } from "./storage/store.ts";

/**
 * Where layers were extracted that are perhaps not on disk, starts a process that waits until they are, records it and
 * ends. Where it can't be started, or is killed, the next one does it. In the user's namespace.
 */
export function syncLayersLater(): void {
  if (!hasUnsynced()) return;
  const program = config.isCompiled ? [] : [join(import.meta.dir, "main.ts")];
  try {
    Bun.spawn(["/proc/self/exe", ...program, "__sync"], {
      argv0: "pod sync",
      cwd: paths.root,
      env: config.stageEnvironment(),
      stdio: ["ignore", "ignore", "ignore"],
      detached: true, // a session of its own: ^C and the terminal's end are the command's
    }).unref();
  } catch {} // a limit of processes or memory: what was asked for is done
}

/** The stage: main.ts calls it. Returns its exit code. */
export function runSync(): number {
  setTitle("pod sync");
  syncLayers();
  return 0;
}
