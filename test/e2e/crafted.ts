/** Images made for a test, in a real registry. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LayoutImage, writeLayout } from "../layout.ts";
import type { TestRegistry } from "../registry.ts";
import { file, folder, type Member, symlink, tar } from "../storage/archive.ts";

/** What an image needs to run a shell: Debian's busybox-static. */
export function shell(): Member[] {
  return [
    folder("bin"),
    { ...file("bin/busybox"), content: readFileSync("/bin/busybox"), mode: 0o755 },
    ...["sh", "cat", "id", "ls", "echo"].map((name) => symlink(`bin/${name}`, "busybox")),
  ];
}

/** Pushes an image of these layers, and returns its reference. */
export async function pushImage(
  registry: TestRegistry,
  name: string,
  layers: Member[][],
  more: Omit<LayoutImage, "layers"> = {},
): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "l"));
  try {
    writeLayout(directory, [{ ...more, layers: layers.map((members) => tar(...members)) }]);
    await registry.push(directory, `${name}:latest`);
    return `${registry.host}/${name}`;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
