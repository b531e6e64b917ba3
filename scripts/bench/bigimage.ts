/** A big image as an OCI image layout: 8 layers, together 40,000 files and 500 MB, like those of a distribution with its programs. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type Descriptor, mediaTypes } from "../../src/spec.ts";
import { type TarEntry, tar } from "../tar.ts";

const layerCount = 8;
const filesPerLayer = 5000;
const meanFileBytes = 12_500;

/** Writes the layout into `directory` and returns the files of its layers, the lowest first. */
export function writeBigImage(directory: string, compression: "gzip" | "zstd"): string[] {
  const blobs = join(directory, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const put = (mediaType: string, content: Uint8Array): Descriptor => {
    const hex = sha256(content);
    writeFileSync(join(blobs, hex), content);
    return { mediaType, digest: `sha256:${hex}`, size: content.length };
  };
  const diffIds: string[] = [];
  const layers = Array.from({ length: layerCount }, (_, layer) => {
    const archive = tar([...files(layer)], 0);
    diffIds.push(`sha256:${sha256(archive)}`);
    if (compression === "gzip") return put(mediaTypes.layerGzip, gzipSync(archive));
    return put(mediaTypes.layerZstd, zstdCompressSync(archive));
  });
  const platform = { os: "linux", architecture: process.arch === "arm64" ? "arm64" : "amd64" };
  const config = put(mediaTypes.config, json({ ...platform, rootfs: { type: "layers", diff_ids: diffIds } }));
  const manifest = { schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers };
  const manifests = [put(mediaTypes.manifest, json(manifest))];
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(directory, "index.json"), json({ schemaVersion: 2, manifests }));
  return layers.map(({ digest }) => join(blobs, digest.slice("sha256:".length)));
}

/** 200 to a directory; sizes from nothing to twice the mean. */
function* files(layer: number): Generator<TarEntry> {
  yield { name: "usr/", mode: 0o755 };
  for (let i = 0; i < filesPerLayer; i++) {
    const directory = `usr/l${layer}d${Math.floor(i / 200)}`;
    if (i % 200 === 0) yield { name: `${directory}/`, mode: 0o755 };
    const content = halfNoise((i * 7919) % (2 * meanFileBytes), layer * filesPerLayer + i + 1);
    yield { name: `${directory}/file-${i}`, mode: 0o644, content };
  }
}

/** Half of each kilobyte compresses. Marsaglia's xorshift: the same bytes for the same seed. */
function halfNoise(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4)).fill(0x20202020);
  for (let i = 0, state = seed; i < words.length; i++) {
    if (i % 256 > 127) continue;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

function sha256(content: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(content).digest("hex");
}

function json(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
