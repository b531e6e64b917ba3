/** Whether a layer's folder holds what its blob says; and how it is made again. */

import { createReadStream, existsSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { ConflictError, formatError, hasCode, rootCause } from "../errors.ts";
import type { Descriptor } from "../spec.ts";
import { blobPath } from "./blobs.ts";
import type { Report } from "./check.ts";
import { firstDifference } from "./compare.ts";
import { listContainers } from "./containers.ts";
import { makeTemporaryDir, removeTree } from "./files.ts";
import { extractLayer, unpackLayer } from "./layer-making.ts";
import { hasLayer, type LayerPlace, layerDir, layerFolder, layerLink, readLayer } from "./layers.ts";
import { paths } from "./store.ts";
import { treeName } from "./trees.ts";

export interface ImageLayer extends LayerPlace {
  blob: Descriptor;
}

/** `faulty`: its blob could make it again. `lost`: nothing can. */
export type LayerState = { kind: "whole" | "faulty" } | { kind: "lost"; why: string };

/** Looks at a layer's folder, and reports what can be mended. Without a good blob only its being there can be seen. */
export async function checkLayer(layer: ImageLayer, hasGoodBlob: boolean, report: Report): Promise<LayerState> {
  const { chainId, blob } = layer;
  if (!hasGoodBlob && !hasLayer(chainId)) return { kind: "lost", why: `its blob ${blob.digest} is not there either` };
  let state: LayerState = { kind: "whole" };
  try {
    const fault = hasGoodBlob ? await compareWithBlob(layer) : undefined;
    if (fault) state = await reportFault(layer, fault, report);
  } catch (error) {
    if (hasCode(rootCause(error), "ENOSPC", "EDQUOT")) throw error;
    return { kind: "lost", why: `its blob ${blob.digest} does not make it: ${formatError(error)}` };
  }
  if (state.kind === "whole") await checkLink(chainId, report);
  return state;
}

async function reportFault(layer: ImageLayer, fault: string, report: Report): Promise<LayerState> {
  let state: LayerState = { kind: "faulty" };
  await report({
    object: `layer ${layer.chainId}`,
    fault,
    remedy: "`pod system check --repair` extracts it again from its blob",
    mend: async () => {
      await rebuild(layer);
      state = { kind: "whole" };
      return `extracted again from blob ${layer.blob.digest}`;
    },
  });
  return state;
}

/** The blob is extracted once more, beside the layer. */
async function compareWithBlob(layer: ImageLayer): Promise<string | undefined> {
  const temporary = makeTemporaryDir();
  try {
    const fresh = join(temporary, "diff");
    await unpackLayer(fresh, createReadStream(blobPath(layer.blob.digest)), layer);
    if (!existsSync(layerDir(layer.chainId))) return "it is missing";
    if (readLayer(layer.chainId)?.diffId !== layer.diffId) return "its layer.json is wrong or missing";
    return firstDifference(fresh, layerDir(layer.chainId));
  } finally {
    removeTree(temporary);
  }
}

async function rebuild(layer: ImageLayer): Promise<void> {
  const user = listContainers().find(
    ({ record, state }) => state.status === "running" && record.layers.includes(layer.chainId),
  );
  if (user) throw new ConflictError(`container ${user.record.name} runs on it`, { hint: "stop it, then try again" });
  const folder = join(paths.layers, layerFolder(layer.chainId));
  const old = makeTemporaryDir();
  try {
    if (existsSync(folder)) renameSync(folder, join(old, "layer"));
    for (const name of readdirSync(paths.layers)) removeTree(join(paths.layers, name, treeName)); // those above it were made of it
    await extractLayer(createReadStream(blobPath(layer.blob.digest)), { ...layer, blob: layer.blob.digest });
  } finally {
    removeTree(old);
  }
}

async function checkLink(chainId: string, report: Report): Promise<void> {
  const link = join(paths.root, layerLink(chainId));
  const target = `../layers/${layerFolder(chainId)}/diff`;
  if (targetOf(link) === target) return;
  await report({
    object: `layer ${chainId}`,
    fault: `its link ${link} is missing or leads elsewhere`,
    remedy: "`pod system check --repair` makes it again",
    mend: () => {
      rmSync(link, { force: true });
      symlinkSync(target, link);
      return "the link is made again";
    },
  });
}

function targetOf(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch {
    return undefined; // missing, or no link
  }
}
