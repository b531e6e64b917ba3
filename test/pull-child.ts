/** Run under `unshare --map-root-user --map-auto --mount` by the tests of pull: one operation on images, told as JSON lines. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatError, hintOf } from "../src/errors.ts";
import * as image from "../src/image.ts";
import { removeImage } from "../src/removal.ts";
import { type Container, containerDir } from "../src/storage/containers.ts";
import { findImage, listImages } from "../src/storage/images.ts";
import { chainIds, layerDir } from "../src/storage/layers.ts";

const [operation, text = "", last] = process.argv.slice(2);
const platform = last || undefined;
const say = (value: unknown) => console.log(JSON.stringify(value));

try {
  if (operation === "pull") {
    const pulled = await image.pull(text, { platform, progress: say });
    const layers = chainIds(pulled.config.rootfs.diff_ids).map(layerDir);
    say({ kind: "image", id: pulled.id, digest: pulled.digest, platform: pulled.platform, layers });
  } else if (operation === "remove") {
    const containers = process.argv[5] ? [containerOf(text, process.argv[5])] : [];
    say({ kind: "removed", ...removeImage(text, { force: last === "force", containers }) });
  } else if (operation === "ensure") {
    const policy = process.argv[5] as "always" | "missing" | "never";
    say({ kind: "image", id: (await image.ensureImage(text, { pull: policy, platform }, say)).id });
  } else {
    say({ kind: "images", references: listImages().map(({ references }) => references) });
  }
} catch (error) {
  say({ kind: "error", name: (error as Error).name, text: formatError(error), hint: hintOf(error) });
  process.exit(1);
}

/** As much of a container as says that it uses the image, recorded. */
function containerOf(name: string, status: string): Container {
  const { id, config } = findImage(name)!;
  const record = { id: "c".repeat(64), image: { id }, layers: chainIds(config.rootfs.diff_ids) };
  const container = { record, state: { status } } as Container;
  mkdirSync(containerDir(record.id), { recursive: true });
  writeFileSync(join(containerDir(record.id), "container.json"), JSON.stringify(record));
  writeFileSync(join(containerDir(record.id), "state.json"), JSON.stringify(container.state));
  return container;
}
