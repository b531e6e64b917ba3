import { expect, test } from "bun:test";
import { parseTar } from "nanotar";
import { installedBusybox, starterImage } from "../scripts/starter.ts";
import type { ImageConfig, Index, Manifest } from "../src/spec.ts";
import { starterArchive } from "../src/starter.ts";

const files = new Map(parseTar(await starterArchive()).map(({ name, data }) => [name, data ?? new Uint8Array()]));
const json = <T>(name: string): T => JSON.parse(Buffer.from(files.get(name)!).toString());
const blob = (digest: string) => `blobs/${digest.replace(":", "/")}`;
const sha256 = (bytes: Uint8Array) => `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
const index = json<Index>("index.json");
const manifest = json<Manifest>(blob(index.manifests[0]!.digest));

test("every blob of the starter image is what its name says", () => {
  const descriptors = [...index.manifests, manifest.config, ...manifest.layers];
  for (const { digest, size } of descriptors) {
    expect(sha256(files.get(blob(digest))!)).toBe(digest);
    expect(files.get(blob(digest))!.length).toBe(size);
  }
});

test("the starter's one layer holds a shell and what its config says", () => {
  const layer = Bun.gunzipSync(Buffer.from(files.get(blob(manifest.layers[0]!.digest))!));
  const config = json<ImageConfig>(blob(manifest.config.digest));
  expect(config.rootfs.diff_ids).toEqual([sha256(layer)]);
  expect(config.config?.Cmd).toEqual(["/bin/sh"]);
  const names = parseTar(layer).map(({ name }) => name);
  for (const name of ["bin/busybox", "bin/sh", "usr/bin/env", "etc/passwd", "tmp/"]) expect(names).toContain(name);
});

test("the same busybox gives the same starter image, byte for byte", async () => {
  expect(sha256(starterImage(installedBusybox()))).toBe(sha256(await starterArchive()));
});
