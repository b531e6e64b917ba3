/** Manifest lists that are being put together: one file each below `lists/`. */

import { join } from "node:path";
import { mkdirSync, rmSync } from "../ns/sys/fs.ts";
import type { Index } from "../spec.ts";
import { readJson, withLock, writeJson } from "./files.ts";
import { paths } from "./store.ts";

export interface ManifestList {
  version: 1;
  /** In full, with a tag. */
  name: string;
  /** As it is pushed. */
  index: Index;
  /** By a manifest's digest the repository that it comes from: `docker.io/library/alpine`. None for one that is only in the store. */
  sources: Record<string, string>;
}

/** Undefined where there is none of that name. */
export function readList(name: string): ManifestList | undefined {
  return readJson<ManifestList>(pathOf(name));
}

/** Rewrites the list; `change` is given the present one. */
export function changeList(name: string, change: (list: ManifestList | undefined) => ManifestList): ManifestList {
  mkdirSync(paths.lists, { recursive: true, mode: 0o700 });
  return withLock("lists", () => {
    const list = change(readList(name));
    writeJson(pathOf(name), list);
    return list;
  });
}

export function deleteList(name: string): void {
  rmSync(pathOf(name), { force: true });
}

/** A name can be longer than a file's may be. */
function pathOf(name: string): string {
  return join(paths.lists, `${new Bun.CryptoHasher("sha256").update(name).digest("hex")}.json`);
}
