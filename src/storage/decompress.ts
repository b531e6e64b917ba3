/** Archives come compressed or not; their first bytes say how, whatever their media type claims. */

import { PodError } from "../errors.ts";

const magics = {
  gzip: [0x1f, 0x8b], // RFC 1952
  zstd: [0x28, 0xb5, 0x2f, 0xfd], // RFC 8878
};

/** The plain bytes of `source`, which is read to its end. gzip and zstd are decompressed on another thread. */
export async function* decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  const head = await readHead(chunks);
  const all = withHead(head, chunks);
  const kind = kindOf(head);
  if (kind === "plain") {
    yield* all;
    return;
  }
  const [{ createGunzip, createZstdDecompress }, { pipeline, Readable }] = await Promise.all([
    import("node:zlib"), // not at the top: it starts threads
    import("node:stream"),
  ]);
  // Chunks are objects, a few wait: the other thread goes on while this one extracts.
  const options = { chunkSize: 1 << 18, readableObjectMode: true, readableHighWaterMark: 4 };
  const stream = kind === "gzip" ? createGunzip(options) : createZstdDecompress(options);
  pipeline(Readable.from(all, { objectMode: false }), stream, () => {}); // a failure of either ends `stream` with it
  try {
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    throw isZlibError(error) ? new PodError(`the ${kind} data is damaged or cut short`, { cause: error }) : error;
  }
}

/** How the bytes that begin so are compressed. */
export function kindOf(head: Uint8Array): keyof typeof magics | "plain" {
  const names = Object.keys(magics) as (keyof typeof magics)[];
  return names.find((name) => magics[name].every((byte, index) => head[index] === byte)) ?? "plain";
}

/** The first bytes, enough to tell the kind; fewer only of a shorter source. */
async function readHead(chunks: AsyncIterator<Uint8Array>): Promise<Buffer> {
  let head = Buffer.alloc(0);
  while (head.length < 4) {
    const { value, done } = await chunks.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  return head;
}

async function* withHead(head: Buffer, chunks: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (head.length) yield head;
  yield* { [Symbol.asyncIterator]: () => chunks };
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && /^Z_|^ZSTD_|^ERR_/.test((error as { code?: string }).code ?? "");
}
