/** Run under `unshare --map-root-user --map-auto --mount` by the tests of pull: one operation on images, told as JSON lines. */

import { formatError, hintOf } from "../src/errors.ts";
import * as image from "../src/image.ts";
import { listImages } from "../src/storage/images.ts";
import { chainIds, layerDir } from "../src/storage/layers.ts";

const [operation, text = "", platform] = process.argv.slice(2);
const say = (value: unknown) => console.log(JSON.stringify(value));

try {
  if (operation === "pull") {
    const pulled = await image.pull(text, { platform, progress: say });
    const layers = chainIds(pulled.config.rootfs.diff_ids).map(layerDir);
    say({ kind: "image", id: pulled.id, digest: pulled.digest, platform: pulled.platform, layers });
  } else if (operation === "remove") {
    say({ kind: "removed", ...(await image.remove(text, { force: platform === "force", containers: [] })) });
  } else if (operation === "resolve") {
    say({ kind: "image", id: (await image.resolve(text, { platform })).id });
  } else {
    say({ kind: "images", references: listImages().map(({ references }) => references) });
  }
} catch (error) {
  say({ kind: "error", name: (error as Error).name, text: formatError(error), hint: hintOf(error) });
  process.exit(1);
}
