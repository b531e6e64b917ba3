/** Archives come compressed or not; their first bytes say how, whatever their media type claims. */

import type { Transform } from "node:stream";
import { PodError } from "../errors.ts";

const magics = {
  gzip: [0x1f, 0x8b], // RFC 1952
  zstd: [0x28, 0xb5, 0x2f, 0xfd], // RFC 8878
};

/** The plain bytes of `source`, which is read to its end. gzip and zstd are decompressed on another thread. */
export async function* decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  const head = await readHead(chunks);
  const rest = { [Symbol.asyncIterator]: () => chunks };
  const kind = (Object.keys(magics) as (keyof typeof magics)[]).find((name) =>
    magics[name].every((byte, index) => head[index] === byte),
  );
  if (kind === undefined) {
    if (head.length) yield head;
    yield* rest;
    return;
  }
  const zlib = await import("node:zlib");
  const options = { chunkSize: 1 << 18 };
  const stream = kind === "gzip" ? zlib.createGunzip(options) : zlib.createZstdDecompress(options);
  const feeding = feed(stream, head, rest).catch((error) => stream.destroy(error as Error));
  try {
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    throw isZlibError(error) ? new PodError(`the ${kind} data is damaged or cut short`, { cause: error }) : error;
  } finally {
    stream.destroy();
    await feeding;
  }
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

async function feed(stream: Transform, head: Buffer, rest: AsyncIterable<Uint8Array>): Promise<void> {
  stream.write(head);
  for await (const chunk of rest) {
    if (stream.destroyed) return;
    if (!stream.write(chunk)) await drained(stream);
  }
  stream.end();
}

function drained(stream: Transform): Promise<void> {
  return new Promise((resolve) => {
    stream.once("drain", resolve);
    stream.once("close", resolve);
  });
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && /^Z_|^ZSTD_|^ERR_/.test((error as { code?: string }).code ?? "");
}
