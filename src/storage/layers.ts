/** Extracted layers: `layers/<hex of the chainId>/` holds the files in `diff/` and what is known of them in a record. */

import { join } from "node:path";
import { PodError } from "../errors.ts";
import { existsSync, readdirSync } from "../ns/sys/fs.ts";
import { bootId } from "../ns/sys/process.ts";
import { parseDigest } from "./blobs.ts";
import type { Extracted } from "./extract.ts";
import { readJson } from "./files.ts";
import { paths } from "./store.ts";

/** Written before the layer appears, never changed. */
export interface LayerRecord extends Extracted {
  version: 1;
  diffId: string;
  chainId: string;
  /** Digest of the blob that it was extracted from. */
  blob: string;
}

/** What the record is called once all of the layer is on disk. */
export const syncedRecord = "layer.json";

/** What it is called before: after a power cut, in another boot, it says nothing. Layers become synced in layer-sync.ts. */
export function unsyncedRecord(): string {
  return `layer.${bootId()}.json`;
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

/** Whether all of its files can be read: now, and after a power cut where it is synced. */
export function hasLayer(chainId: string): boolean {
  return records(chainId).some(existsSync);
}

/** chainIds of those whose folder is there and that are not whole: another boot has extracted them, and they were not synced. */
export function brokenLayers(): string[] {
  return readdirSync(paths.layers)
    .map(layerName)
    .filter((chainId) => !hasLayer(chainId));
}

/** The layers as they are, to be mounted; PodError where one of them is not whole. */
export function whole(layers: string[]): string[] {
  const lost = layers.find((chainId) => !hasLayer(chainId));
  if (lost === undefined) return layers;
  throw new PodError(`layer ${lost} is missing`, {
    hint: "`pod pull` of the image brings it again; `pod system check` tells what else is missing",
  });
}

/** In this order, for syncing renames the one to the other. */
function records(chainId: string): string[] {
  return [unsyncedRecord(), syncedRecord].map((name) => join(layerHome(chainId), name));
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
  const [unsynced, synced] = records(chainId) as [string, string];
  return readJson<LayerRecord>(unsynced) ?? readJson<LayerRecord>(synced);
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

/** The same, and where its content comes from. */
export interface LayerSource extends LayerPlace {
  /** Digest of its blob. */
  blob: string;
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
