/** `import`: the archive of a root file system becomes an image of one layer. */

import { mediaTypeOfLayer } from "./documents.ts";
import { PodError } from "./errors.ts";
import { applyChanges } from "./instructions.ts";
import { readBody, send } from "./net/http.ts";
import { putNewImage } from "./new-image.ts";
import { parsePlatform } from "./platform.ts";
import { blobPath } from "./storage/blobs.ts";
import { decompressByProgram } from "./storage/decompress.ts";
import { recordImageEvent } from "./storage/events.ts";
import { holdLease, type Image } from "./storage/images.ts";
import { makeLayer } from "./storage/layer-making.ts";
import { readDescriptor, readFile } from "./storage/reading.ts";

export interface ImportOptions {
  message?: string;
  /** Dockerfile instructions. */
  changes: string[];
  platform?: string;
  /** In full. */
  name?: string;
}

const answerTimeoutMs = 30_000;

/** `source`: a file, an http or https URL, or `-` for stdin; compressed or plain. PodError where it is no tar archive. */
export async function importImage(source: string, options: ImportOptions): Promise<Image> {
  const { changes, name, message = `Imported from ${source}` } = options;
  const { os, architecture, variant } = parsePlatform(options.platform);
  const settings = applyChanges({}, changes);
  const lease = holdLease([]);
  try {
    const { diffId, blob } = await makeLayer(decompressByProgram(open(source)), [], lease.add);
    const created = new Date().toISOString();
    const config = {
      created,
      architecture,
      os,
      ...(variant && { variant }),
      config: settings,
      rootfs: { type: "layers" as const, diff_ids: [diffId] },
      history: [{ created, comment: message }],
    };
    const layer = { mediaType: mediaTypeOfLayer(blobPath(blob.digest)), ...blob };
    const image = putNewImage({ config, layers: [layer], isDocker: false }, lease.add, name);
    recordImageEvent("import", image.id, image.id);
    return image;
  } catch (cause) {
    throw new PodError(`import ${source}`, { cause });
  } finally {
    lease.release();
  }
}

function open(source: string): AsyncIterable<Uint8Array> {
  if (source === "-") return readDescriptor(0);
  return /^https?:\/\//.test(source) ? download(source) : readFile(source);
}

async function* download(url: string): AsyncGenerator<Uint8Array> {
  const response = await send(url, { timeoutMs: answerTimeoutMs });
  if (!response.ok) throw new PodError(`the server answers ${response.status} ${response.statusText}`.trim());
  yield* readBody(response);
}
