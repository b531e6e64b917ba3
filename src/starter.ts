/** The image that the binary carries, so that `pod run starter` needs no registry. `scripts/starter.ts` makes it. */

import { readFileSync } from "node:fs";
import { PodError } from "./errors.ts";

/** The starter as a tar of an OCI image layout: one manifest in index.json, one gzip layer. Fails where the build had no busybox of its architecture. */
export async function starterArchive(): Promise<Uint8Array> {
  const bytes = readFileSync(await archivePath());
  if (bytes.length === 0) {
    throw new PodError("this build of pod carries no starter image", { hint: "name an image of a registry instead" });
  }
  return bytes;
}

/** Inside the compiled program a path below /$bunfs; from source the file that the build left in dist/. */
async function archivePath(): Promise<string> {
  try {
    return (await import("../dist/starter.tar", { with: { type: "file" } })).default;
  } catch (cause) {
    throw new PodError("the starter image is not built", { cause, hint: "run `npm run build` first" });
  }
}
