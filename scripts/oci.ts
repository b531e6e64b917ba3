/** Writes an image of one layer as an OCI image layout in one tar (image-spec image-layout.md). */

import { gzipSync } from "node:zlib";
import { type ImageConfig, type Index, type Manifest, mediaTypes } from "../src/spec.ts";
import { type TarEntry, tar } from "./tar.ts";

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface SingleLayer {
  /** A tar, not compressed. */
  layer: Uint8Array;
  architecture: "amd64" | "arm64";
  /** When the image and all files of the layout were made: seconds since 1970. */
  modified: number;
  /** What the image is made of, for its history. */
  origin: string;
}

/** Tagged `latest`; runs /bin/sh. The same input gives the same bytes. */
export function ociArchive({ layer, architecture, modified, origin }: SingleLayer): Uint8Array {
  const created = new Date(modified * 1000).toISOString();
  const platform = { os: "linux", architecture };
  const blobs: TarEntry[] = [];
  const put = (mediaType: string, content: Uint8Array) => {
    const digest = sha256(content);
    blobs.push({ name: `blobs/sha256/${digest}`, mode: 0o644, content });
    return { mediaType, digest: `sha256:${digest}`, size: content.length };
  };

  const config: ImageConfig = {
    ...platform,
    created,
    config: { Env: [`PATH=${path}`], Cmd: ["/bin/sh"], WorkingDir: "/" },
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created, created_by: origin }],
  };
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    layers: [put(mediaTypes.layerGzip, gzipSync(layer))],
    config: put(mediaTypes.config, json(config)),
  };
  const annotations = { "org.opencontainers.image.ref.name": "latest" };
  const index: Index = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [{ ...put(mediaTypes.manifest, json(manifest)), platform, annotations }],
  };
  return tar(
    [
      { name: "oci-layout", mode: 0o644, content: json({ imageLayoutVersion: "1.0.0" }) },
      { name: "index.json", mode: 0o644, content: json(index) },
      { name: "blobs/", mode: 0o755 },
      { name: "blobs/sha256/", mode: 0o755 },
      ...blobs,
    ],
    modified,
  );
}

function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
