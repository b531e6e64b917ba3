/** What the comparisons run on: a registry on loopback with two images, and a bundle for crun. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { ociArchive } from "../oci.ts";
import { installedBusybox, rootFileSystem } from "../starter.ts";
import { type TarEntry, tar } from "../tar.ts";
import { output } from "./measure.ts";

export interface Stage {
  directory: string;
  /** The registry's, `127.0.0.1:PORT`. */
  address: string;
  /** References of the images in the registry. */
  image: string;
  manyFiles: string;
  /** What the image is, for the reader. */
  imageName: string;
  /** The layer of `manyFiles`, as a file. */
  manyFilesTar: string;
  /** An OCI bundle of the image that runs /bin/true. */
  bundle: string;
  close(): Promise<void>;
}

/** `rootfs`: a tar.gz to start; else the starter image is used. */
export async function openStage(rootfs: string | undefined): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), "bench"));
  const registry = await startRegistry(directory);
  const layer = rootfs ? Bun.gunzipSync(readFileSync(rootfs)) : tar(rootFileSystem(installedBusybox()), 0);
  const many = tar([...manyFiles(40_000)], 0);
  const manyFilesTar = join(directory, "many.tar.gz");
  writeFileSync(manyFilesTar, gzipSync(many));
  return {
    directory,
    address: registry.address,
    image: push(directory, registry.address, "small", layer),
    manyFiles: push(directory, registry.address, "many", many),
    imageName: rootfs ? rootfs.replace(/^.*\//, "") : "pod's starter (busybox)",
    manyFilesTar,
    bundle: makeBundle(directory, layer),
    close: async () => {
      registry.process.kill();
      await registry.process.exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function startRegistry(directory: string): Promise<{ address: string; process: Bun.Subprocess }> {
  const address = `127.0.0.1:${await freePort()}`;
  const file = join(directory, "registry.json"); // JSON is YAML
  const storage = { filesystem: { rootdirectory: join(directory, "registry") } };
  writeFileSync(file, JSON.stringify({ version: 0.1, log: { level: "error" }, storage, http: { addr: address } }));
  const process = Bun.spawn(["docker-registry", "serve", file], { stdout: "ignore", stderr: "ignore" });
  for (let i = 0; ; i++) {
    const answer = await fetch(`http://${address}/v2/`).catch(() => undefined);
    if (answer?.ok) return { address, process };
    if (i === 100) throw new Error(`docker-registry does not answer on ${address}`);
    await Bun.sleep(50);
  }
}

/** Of loopback, free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function push(directory: string, address: string, name: string, layer: Uint8Array): string {
  const archive = join(directory, `${name}.tar`);
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  writeFileSync(archive, ociArchive({ layer, architecture, modified: 0, origin: "benchmark" }));
  const reference = `${address}/bench/${name}:latest`;
  const copy = ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"];
  output("skopeo", ...copy, `oci-archive:${archive}`, `docker://${reference}`);
  rmSync(archive);
  return reference;
}

/** Small files in a tree like a distribution's: 200 to a directory, up to 6 KB, half of it compressible. */
export function* manyFiles(count: number): Generator<TarEntry> {
  const noise = new Uint8Array(65536);
  for (let i = 0, state = 1; i < noise.length; i++) {
    state = (state * 1103515245 + 12345) & 0x7fffffff; // C's example of rand(): the same files every time
    noise[i] = i % 512 < 256 ? state >> 16 : 0x20;
  }
  yield { name: "usr/", mode: 0o755 };
  for (let i = 0; i < count; i++) {
    if (i % 200 === 0) yield { name: `usr/d${i / 200}/`, mode: 0o755 };
    const start = (i * 977) % 59_000;
    const content = noise.subarray(start, start + ((i * 7919) % 6000));
    yield { name: `usr/d${Math.floor(i / 200)}/file-${i}`, mode: 0o644, content };
  }
}

function makeBundle(directory: string, layer: Uint8Array): string {
  const bundle = join(directory, "bundle");
  const archive = join(directory, "layer.tar");
  mkdirSync(join(bundle, "rootfs"), { recursive: true });
  writeFileSync(archive, layer);
  output("tar", "--extract", "--file", archive, "--directory", join(bundle, "rootfs"), "--exclude=dev/*");
  rmSync(archive);
  output("crun", "spec", "--rootless", "--bundle", bundle);
  const file = join(bundle, "config.json");
  const spec = JSON.parse(readFileSync(file, "utf8"));
  spec.process.args = ["/bin/true"];
  spec.process.terminal = false;
  writeFileSync(file, JSON.stringify(spec));
  return bundle;
}
