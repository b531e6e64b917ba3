/** Extracted layers: `layers/<hex of the chainId>/` holds the files in `diff/` and what is known of them in `layer.json`. */

import { join } from "node:path";
import { existsSync } from "../ns/sys/fs.ts";
import { parseDigest } from "./blobs.ts";
import type { Extracted } from "./extract.ts";
import { readJson } from "./files.ts";
import { paths } from "./store.ts";

/** `layer.json`: written before the layer appears, never changed. */
export interface LayerRecord extends Extracted {
  version: 1;
  diffId: string;
  chainId: string;
}

/** Identifies each layer with all that lies below it: image-spec config.md, "Layer ChainID". */
export function chainIds(diffIds: string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : sha256(`${below} ${diffId}`));
  }
  return chain;
}

export function hasLayer(chainId: string): boolean {
  return existsSync(join(layerHome(chainId), "layer.json"));
}

/** The folder of the layer's files. */
export function layerDir(chainId: string): string {
  return join(layerHome(chainId), "diff");
}

/** The layer's short name, relative to the store's root: `l/<26 characters>`, a symlink to its files. */
export function layerLink(chainId: string): string {
  const bits = BigInt(`0x${parseDigest(chainId).hex.slice(0, 33)}`) >> 2n; // 130 bits: 26 characters of 5
  return `l/${bits.toString(32).padStart(26, "0")}`;
}

/** What is known of an extracted layer; undefined where it is not there. */
export function readLayer(chainId: string): LayerRecord | undefined {
  return readJson<LayerRecord>(join(layerHome(chainId), "layer.json"));
}

/** The name of the layer's folder below `layers/`: the hex digits alone, since `:` parts the options of an overlay mount. */
export function layerFolder(chainId: string): string {
  return parseDigest(chainId).hex;
}

/** Where a layer belongs. */
export interface LayerPlace {
  diffId: string;
  chainId: string;
  /** chainIds of the layers below, the lowest first. */
  parents: string[];
}

/** The chainId of the layer in the folder of this name. */
export function layerName(folder: string): string {
  return `${folder.length === 128 ? "sha512" : "sha256"}:${folder}`;
}

/** All that there is of the layer. */
export function layerHome(chainId: string): string {
  return join(paths.layers, layerFolder(chainId));
}

function sha256(text: string): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(text).digest("hex")}`;
}
