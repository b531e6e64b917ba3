/** Archives come compressed or not; their first bytes say how, whatever their media type claims. */

import { PodError } from "../errors.ts";

const magics = {
  gzip: [0x1f, 0x8b], // RFC 1952
  zstd: [0x28, 0xb5, 0x2f, 0xfd], // RFC 8878
};

/** By the digits of their first ten bytes: a tar archive begins with a name, which may begin with bzip2's `BZh`. */
export const programMagics = { bzip2: /^425a683.314159265359/, xz: /^fd377a585a00/ };
const packages = { bzip2: "bzip2", xz: "xz-utils" };

/** The bytes of `source`; the plain ones where those are bzip2's or xz's, which no layer is: made by the program of that name. */
export async function* decompressByProgram(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  const head = await readHead(chunks, 10);
  const all = withHead(head, chunks);
  const digits = head.toString("hex", 0, 10);
  const names = Object.keys(programMagics) as (keyof typeof programMagics)[];
  const program = names.find((name) => programMagics[name].test(digits));
  yield* program ? runProgram(program, all) : all;
}

async function* runProgram(name: keyof typeof packages, source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const program = Bun.which(name);
  if (!program) {
    const hint = `install it (Debian, Ubuntu: sudo apt install ${packages[name]})`;
    throw new PodError(`the archive is compressed by ${name}, which is not installed`, { hint });
  }
  const child = Bun.spawn([program, "-dc"], { stdin: "pipe", stdout: "pipe", stderr: "ignore" });
  const fed = feed(child.stdin, source).catch((error: unknown) => {
    child.kill("SIGKILL");
    return { error };
  });
  try {
    for await (const chunk of child.stdout) yield chunk;
    const failure = await fed;
    if (failure) throw failure.error;
    if ((await child.exited) !== 0) throw new PodError(`the ${name} data is damaged or cut short`);
  } finally {
    child.kill("SIGKILL"); // where its output is no longer wanted
  }
}

/** Throws what reading fails with. A program that does not want more has said why. */
async function feed(stdin: Bun.FileSink, source: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of source) {
    try {
      stdin.write(chunk);
      await stdin.flush();
    } catch {
      return;
    }
  }
  await stdin.end();
}

/** The plain bytes of `source`, which is read to its end. gzip and zstd are decompressed on another thread. */
export async function* decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  const head = await readHead(chunks, 4);
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
async function readHead(chunks: AsyncIterator<Uint8Array>, bytes: number): Promise<Buffer> {
  let head = Buffer.alloc(0);
  while (head.length < bytes) {
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
