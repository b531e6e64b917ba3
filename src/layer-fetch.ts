/** The layers of one image: downloaded several at once, extracted while they arrive. */

import type { Layer } from "./documents.ts";
import { Download, runDownloads } from "./download.ts";
import { extractLayers, type LayerJob } from "./layer-extraction.ts";
import type { Repository } from "./net/registry.ts";
import type { LayerStatus, PullProgress } from "./progress.ts";
import type { Descriptor } from "./spec.ts";
import { blobPath, hasBlob } from "./storage/blobs.ts";
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
  await extractLayers(missing.map((layer) => toJob(layer, downloads, report)));
}

function toJob(layer: Layer, downloads: Map<string, Download>, report: LayerReport): LayerJob {
  const { descriptor } = layer;
  const download = downloads.get(descriptor.digest) ?? Download.ofBlob(descriptor);
  const onBytes = (bytes: number) => {
    if (download.isEnded) report(descriptor, "Extracting", bytes); // until then the download is what the user waits for
  };
  return {
    layer,
    size: descriptor.size,
    isWhole: download.ended.then(() => download.error === undefined),
    files: [blobPath(descriptor.digest)],
    extract: () => extract(layer, download, onBytes),
    onBytes,
    onDone: () => report(descriptor, "Pull complete"),
  };
}

/** Where the bytes are wrong, that is the reason of a failure, and they must not stay. */
async function extract(layer: Layer, download: Download, onBytes: (bytes: number) => void): Promise<void> {
  try {
    if (hasLayer(layer.chainId)) await download.ended;
    else await extractLayer(counted(download.read(), onBytes), layer);
  } catch (error) {
    await download.ended;
    throw download.error ?? error;
  }
}

async function* counted(chunks: AsyncIterable<Uint8Array>, onBytes: (bytes: number) => void) {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    onBytes(bytes);
    yield chunk;
  }
}
