/** Whether an image has all that its manifest and its config name. */

import { statSync } from "node:fs";
import { familiarName, parseReference } from "../reference.ts";
import type { Descriptor, ImageConfig, Manifest } from "../spec.ts";
import { blobPath, hasBlob, readJsonBlob } from "./blobs.ts";
import type { Problem, Report } from "./check.ts";
import { checkLayer, type ImageLayer, type LayerState } from "./checklayer.ts";
import { changeIndex, nameOf } from "./images.ts";
import { chainIds } from "./layers.ts";

/** `entries`: all of one manifest in the index. `damaged`: digests. `layers`: what is known of layers, by chainId; is added to. */
export async function checkImage(
  entries: Descriptor[],
  damaged: Set<string>,
  layers: Map<string, LayerState>,
  report: Report,
): Promise<void> {
  const { digest } = entries[0]!;
  const references = entries.map(nameOf).filter((name) => name !== undefined);
  const reference = references.find((name) => !name.includes("@")) ?? references[0];
  const name = reference ? familiarName(parseReference(reference)) : digest;
  const remedy = reference ? `\`pod pull ${name}\` brings it again` : `\`pod rmi ${digest}\` gives it up`;
  const faulty = (fault: string, mend?: Problem["mend"]) => report({ object: `image ${name}`, fault, remedy, mend });
  const drop = () => {
    changeIndex((manifests) => manifests.filter((entry) => entry.digest !== digest));
    return "it can't be rebuilt: dropped from the index";
  };
  const faultOf = (blob: { digest: string; size: number }) => {
    if (!hasBlob(blob.digest)) return "is missing";
    if (damaged.has(blob.digest)) return "is damaged";
    const { size } = statSync(blobPath(blob.digest));
    return size === blob.size ? undefined : `has ${size} bytes, not ${blob.size}`;
  };

  const manifestFault = faultOf(entries[0]!);
  if (manifestFault) return await faulty(`its manifest ${digest} ${manifestFault}`, drop);
  const manifest = readJsonBlob<Manifest>(digest);
  const configFault = faultOf(manifest.config);
  if (configFault) return await faulty(`its config ${manifest.config.digest} ${configFault}`, drop);
  for (const layer of toLayers(manifest, readJsonBlob<ImageConfig>(manifest.config.digest))) {
    const blobFault = faultOf(layer.blob);
    const state = layers.get(layer.chainId) ?? (await checkLayer(layer, blobFault === undefined, report));
    layers.set(layer.chainId, state);
    if (state.kind === "lost") return await faulty(`its layer ${layer.chainId} is lost: ${state.why}`, drop);
    if (state.kind === "faulty") return; // reported; the layers above are made with what is in it
    if (blobFault) await faulty(`it runs, but the blob ${layer.blob.digest} of a layer ${blobFault}`);
  }
}

function toLayers(manifest: Manifest, { rootfs }: ImageConfig): ImageLayer[] {
  const chain = chainIds(rootfs.diff_ids);
  return manifest.layers.map((blob, index) => ({
    blob,
    diffId: rootfs.diff_ids[index]!,
    chainId: chain[index]!,
    parents: chain.slice(0, index),
  }));
}
