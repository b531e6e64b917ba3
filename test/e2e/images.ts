/** Images for tests: the starter's files with a configuration and further layers, in a registry of the test's own. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installedBusybox, rootFileSystem } from "../../scripts/starter.ts";
import { tar } from "../../scripts/tar.ts";
import { type LayoutImage, writeLayout } from "../layout.ts";
import type { TestRegistry } from "../registry.ts";

export const architecture = process.arch === "arm64" ? "arm64" : "amd64";

/** Busybox, its applets and what a shell expects to find, as a layer. */
export function busyboxLayer(): Uint8Array {
  return tar(rootFileSystem(installedBusybox()), 1_700_000_000);
}

/** Puts an image of these layers there (the first is busybox unless told) and returns the name that pod pulls it by. */
export async function publish(registry: TestRegistry, name: string, image: Partial<LayoutImage>): Promise<string> {
  await publishAll(registry, name, [image]);
  return `${registry.host}/${name}`;
}

/** Several images of different platforms become one index. */
export async function publishAll(registry: TestRegistry, name: string, images: Partial<LayoutImage>[]): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "layout-"));
  try {
    const complete = images.map(({ layers = [], ...rest }) => ({
      layers: [busyboxLayer(), ...layers],
      platform: { os: "linux", architecture },
      ...rest,
    }));
    writeLayout(directory, complete);
    await registry.push(directory, name);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
