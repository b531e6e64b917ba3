/** The layers of one image: downloaded several at once, extracted while they arrive. */

import type { Layer } from "./documents.ts";
import { Download, runDownloads } from "./download.ts";
import type { Repository } from "./net/registry.ts";
import type { LayerStatus, PullProgress } from "./progress.ts";
import type { Descriptor } from "./spec.ts";
import { hasBlob } from "./storage/blobs.ts";
import { extractLayer, hasLayer } from "./storage/layers.ts";

const lanes = 3; // Docker's max-concurrent-downloads

/** Sees to it that each layer's blob and folder are in the store. What is there already is not asked for. */
export async function fetchLayers(layers: Layer[], repository: Repository, progress: PullProgress): Promise<void> {
  const report = ({ descriptor }: { descriptor: Descriptor }, status: LayerStatus, currentBytes?: number) => {
    const sizes = currentBytes === undefined ? {} : { currentBytes, totalBytes: descriptor.size };
    progress({ kind: "layer", id: descriptor.digest.replace(/^.*:/, "").slice(0, 12), status, ...sizes });
  };
  const missing = layers.filter(({ chainId, descriptor }) => !hasLayer(chainId) || !hasBlob(descriptor.digest));
  for (const layer of layers) report(layer, missing.includes(layer) ? "Pulling fs layer" : "Already exists");

  const damaged = await attempt(missing, repository, report);
  if (!damaged) return;
  progress({ kind: "note", text: "what an earlier pull had left was damaged; downloading it again" });
  await attempt(missing, repository, report);
}

/** True where it failed for bytes that an earlier process had left: they are gone now, and a second attempt starts afresh. */
async function attempt(
  layers: Layer[],
  repository: Repository,
  report: (layer: { descriptor: Descriptor }, status: LayerStatus, currentBytes?: number) => void,
): Promise<boolean> {
  const downloads = new Map<string, Download>();
  for (const { descriptor } of layers) {
    const download = new Download(descriptor, (status, bytes) => report({ descriptor }, status, bytes));
    if (!downloads.has(descriptor.digest)) downloads.set(descriptor.digest, download);
  }
  const queue = [...downloads.values()];
  for (const download of queue.slice(lanes)) report(download, "Waiting");

  const controller = new AbortController();
  const extracting = async () => {
    for (const layer of layers) {
      const download = downloads.get(layer.descriptor.digest)!;
      try {
        await extract(layer, download, (bytes) => report(layer, "Extracting", bytes));
      } catch (error) {
        await download.ended; // where the bytes were wrong, that is the reason, and they must not stay
        controller.abort(download.error ?? error);
        throw download.error ?? error;
      }
      report(layer, "Pull complete");
    }
  };
  const results = await Promise.allSettled([runDownloads(queue, repository, lanes, controller), extracting()]);
  if (queue.some(({ damaged }) => damaged)) return true;
  for (const result of results) if (result.status === "rejected") throw result.reason;
  return false;
}

async function extract(layer: Layer, download: Download, report: (bytes: number) => void): Promise<void> {
  if (hasLayer(layer.chainId)) {
    await download.ended;
    return;
  }
  let bytes = 0;
  const source = async function* () {
    for await (const chunk of download.read()) {
      bytes += chunk.length;
      yield chunk;
      if (download.isEnded) report(bytes); // until then the download is what the user waits for
    }
  };
  const { diffId, chainId, parents, descriptor } = layer;
  await extractLayer(source(), { mediaType: descriptor.mediaType, diffId, chainId, parents });
}
