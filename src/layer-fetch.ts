/** The layers of one image: downloaded several at once, extracted while they arrive. */

import type { Layer } from "./documents.ts";
import { Download, runDownloads } from "./download.ts";
import type { Repository } from "./net/registry.ts";
import type { LayerStatus, PullProgress } from "./progress.ts";
import type { Descriptor } from "./spec.ts";
import { hasBlob } from "./storage/blobs.ts";
import { extractLayer } from "./storage/layer-making.ts";
import { hasLayer } from "./storage/layers.ts";

const lanes = 3; // Docker's max-concurrent-downloads

type LayerReport = (descriptor: Descriptor, status: LayerStatus, currentBytes?: number) => void;

/**
 * Sees to it that each layer's blob and folder are in the store. What is there already is not asked for. Blobs are
 * fetched at once; `layers` come when the image's configuration does, and where it fails so does this.
 */
export async function fetchLayers(
  blobs: Descriptor[],
  layers: Promise<Layer[]>,
  repository: Repository,
  progress: PullProgress,
): Promise<void> {
  const report: LayerReport = ({ digest, size }, status, currentBytes) => {
    const sizes = currentBytes === undefined ? {} : { currentBytes, totalBytes: size };
    progress({ kind: "layer", id: digest.replace(/^.*:/, "").slice(0, 12), status, ...sizes });
  };
  const damaged = await attempt(blobs, layers, repository, report);
  if (!damaged) return;
  progress({ kind: "note", text: "what an earlier pull had left was damaged; downloading it again" });
  await attempt(blobs, layers, repository, report);
}

/** True where it failed for bytes that an earlier process had left: they are gone now, and a second attempt starts afresh. */
async function attempt(
  blobs: Descriptor[],
  layers: Promise<Layer[]>,
  repository: Repository,
  report: LayerReport,
): Promise<boolean> {
  const downloads = new Map<string, Download>();
  for (const blob of blobs) {
    if (!hasBlob(blob.digest)) downloads.set(blob.digest, downloads.get(blob.digest) ?? toDownload(blob, report));
  }
  const queue = [...downloads.values()];
  for (const { descriptor } of queue) report(descriptor, "Pulling fs layer");
  for (const { descriptor } of queue.slice(lanes)) report(descriptor, "Waiting");

  const controller = new AbortController();
  const extracting = extractAll(layers, downloads, report).catch((error) => {
    controller.abort(error);
    throw error;
  });
  const results = await Promise.allSettled([runDownloads(queue, repository, lanes, controller), extracting]);
  if (queue.some(({ damaged }) => damaged)) return true;
  for (const result of results) if (result.status === "rejected") throw result.reason;
  return false;
}

function toDownload(blob: Descriptor, report: LayerReport): Download {
  return new Download(blob, (status, bytes) => report(blob, status, bytes));
}

async function extractAll(known: Promise<Layer[]>, downloads: Map<string, Download>, report: LayerReport) {
  const layers = await known;
  const isMissing = ({ chainId, descriptor }: Layer) => !hasLayer(chainId) || downloads.has(descriptor.digest);
  const missing = layers.filter(isMissing);
  for (const layer of layers) {
    if (!missing.includes(layer)) report(layer.descriptor, "Already exists");
    else if (!downloads.has(layer.descriptor.digest)) report(layer.descriptor, "Pulling fs layer");
  }
  for (const layer of missing) {
    const download = downloads.get(layer.descriptor.digest) ?? Download.ofBlob(layer.descriptor);
    try {
      await extract(layer, download, (bytes) => report(layer.descriptor, "Extracting", bytes));
    } catch (error) {
      await download.ended; // where the bytes were wrong, that is the reason, and they must not stay
      throw download.error ?? error;
    }
    report(layer.descriptor, "Pull complete");
  }
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
  await extractLayer(source(), layer);
}
