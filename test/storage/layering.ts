/** Extracts archives as layers, as the root of a user namespace, in a store of their own. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LayerRecord } from "../../src/storage/layers.ts";

/** One file as it lies on disk. */
export interface Found {
  kind: "file" | "directory" | "symlink" | "fifo" | "device" | "whiteout";
  /** Octal. */
  mode: string;
  /** `uid:gid` in the namespace. */
  owner: string;
  /** Nanoseconds since 1970. */
  mtime: string;
  links: number;
  size?: number;
  /** Of 512 bytes. */
  blocks?: number;
  /** Its first 200 bytes. */
  content?: string;
  /** SHA-256 of all of it, in hex. */
  digest?: string;
  target?: string;
  /** Values in hex. */
  xattrs?: Record<string, string>;
}

export interface Layering {
  /** Each layer by itself; the name "" is its root. */
  layers: Record<string, Found>[];
  records: LayerRecord[];
  /** What the kernel's overlay of all layers shows. */
  merged?: Record<string, Found>;
  error?: string;
  /** Temporary folders and locks that remain. */
  leftovers: string[];
}

/** Each archive as it is downloaded, and the digest it should have: that of `plain` where it is compressed. */
export type Archive = Buffer | { bytes: Buffer; plain: Buffer } | { bytes: Buffer; diffId: string };

export const inNamespace = ["unshare", "--map-root-user", "--map-auto", "--mount"];

export function layer(...archives: Archive[]): Promise<Layering> {
  return layerAs(inNamespace, ...archives);
}

/** The same in a namespace that maps the one id only. */
export function layerWithOneId(...archives: Archive[]): Promise<Layering> {
  return layerAs(["unshare", "--map-root-user", "--mount"], ...archives);
}

async function layerAs(namespace: string[], ...archives: Archive[]): Promise<Layering> {
  const dir = mkdtempSync(join(tmpdir(), "pod-layering-"));
  try {
    const paths = archives.map((archive, index) => {
      const path = join(dir, String(index));
      writeFileSync(path, "bytes" in archive ? archive.bytes : archive);
      return { path, diffId: diffIdOf(archive) };
    });
    const command = [...namespace, process.execPath, join(import.meta.dir, "child.ts"), JSON.stringify(paths)];
    const child = Bun.spawn(command, { env: { ...process.env, XDG_DATA_HOME: dir }, stdout: "pipe", stderr: "pipe" });
    const [out, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    if (!out) throw new Error(errors);
    return JSON.parse(out);
  } finally {
    removeAll(dir);
  }
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
}

/** Files of mapped ids are removed by the root of the same mapping. */
export function removeAll(dir: string): void {
  Bun.spawnSync(["unshare", "--map-root-user", "--map-auto", "rm", "-rf", dir]);
  rmSync(dir, { recursive: true, force: true });
}

function diffIdOf(archive: Archive): string {
  if (!("bytes" in archive)) return sha256(archive);
  return "diffId" in archive ? archive.diffId : sha256(archive.plain);
}
