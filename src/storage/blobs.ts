/** Blobs by their digest, as an OCI image layout keeps them (image-spec image-layout.md), and downloads under way. */

import { dirname, join } from "node:path";
import { hasCode, PodError } from "../errors.ts";
import { O_CREAT, O_NOFOLLOW, O_RDWR } from "../ns/constants.ts";
import { close, ftruncate, lock, open, statAt } from "../ns/sys/file.ts";
import { existsSync, mkdirSync, readFileSync, readSync, renameSync, rmSync } from "../ns/sys/fs.ts";
import type { Descriptor } from "../spec.ts";
import { isStill, parseJson, syncFile, writeAt, writeFileAtomic } from "./files.ts";
import { paths } from "./store.ts";

const forms = { sha256: /^[0-9a-f]{64}$/, sha512: /^[0-9a-f]{128}$/ };
type Algorithm = keyof typeof forms;

/** The parts of `sha256:<64 hex>` or `sha512:<128 hex>`; anything else is a PodError, so no digest can name another path. */
export function parseDigest(digest: string): { algorithm: Algorithm; hex: string } {
  const [algorithm = "", hex = "", ...rest] = digest.split(":");
  const form = forms[algorithm as Algorithm];
  if (!form?.test(hex) || rest.length) throw new PodError(`${JSON.stringify(digest)} is not a digest that pod knows`);
  return { algorithm: algorithm as Algorithm, hex };
}

export function blobPath(digest: string): string {
  const { algorithm, hex } = parseDigest(digest);
  return join(paths.blobs, algorithm, hex);
}

export function hasBlob(digest: string): boolean {
  return existsSync(blobPath(digest));
}

/** All of it, in memory: for manifests and configs. An ENOENT says that it is not there. */
export function readBlob(digest: string): Buffer {
  return readFileSync(blobPath(digest));
}

export function readJsonBlob<T>(digest: string): T {
  const path = blobPath(digest);
  return parseJson<T>(readFileSync(path, "utf8"), path);
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
}

/** Keeps the bytes and tells their digest. */
export function putBlob(bytes: Uint8Array): string {
  const digest = digestOf(bytes);
  if (!hasBlob(digest)) writeFileAtomic(blobPath(digest), bytes);
  return digest;
}

/** Makes a file of the store, whose bytes have this digest and are synced, a blob. */
export function adoptBlob(path: string, digest: string): void {
  const target = blobPath(digest);
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 }); // sha512 is rare
  renameSync(path, target);
}

export function deleteBlob(digest: string): void {
  rmSync(blobPath(digest), { force: true });
}

/** A blob on its way. Every way out is `finish` or `close`; both release the lock. */
export interface PartialBlob {
  /** The file that it grows in, until `finish`: it can be read meanwhile. */
  readonly path: string;
  /** Bytes that are on disk and hashed: where a download goes on. */
  readonly offset: number;
  /** Appends. More than the descriptor's size is an error, and so is a full disk; both leave nothing. */
  write(chunk: Uint8Array): void;
  /** Forgets what is on disk: for a server that can't resume. */
  restart(): void;
  /** Checks size and digest, syncs, puts it among the blobs. A mismatch is a PodError and leaves nothing. */
  finish(): Promise<void>;
  /** Keeps the bytes for a later process; does nothing after `finish`. */
  close(): void;
}

/**
 * Takes up the download of a blob where an earlier process left it. While another process downloads the same one this
 * waits; the result is undefined once the blob is there.
 */
export async function openPartialBlob(descriptor: Descriptor): Promise<PartialBlob | undefined> {
  const { algorithm, hex } = parseDigest(descriptor.digest);
  const path = join(paths.partials, `${algorithm}-${hex}`);
  while (!hasBlob(descriptor.digest)) {
    const fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
    try {
      while (!lock(fd, "exclusive", false)) await Bun.sleep(50);
      if (isStill(fd, path)) {
        if (!hasBlob(descriptor.digest)) return await resume(fd, path, descriptor, algorithm);
        rmSync(path, { force: true }); // made anew when who held the lock had just finished
      }
    } catch (error) {
      close(fd);
      throw error;
    }
    close(fd); // finished or given up by who held the lock
  }
  return undefined;
}

async function resume(fd: number, path: string, descriptor: Descriptor, algorithm: Algorithm): Promise<PartialBlob> {
  let hasher = new Bun.CryptoHasher(algorithm);
  let offset = 0;
  let isOpen = true;

  if (statAt(fd, "").size > descriptor.size) ftruncate(fd, 0);
  const buffer = Buffer.alloc(1 << 20);
  for (let length: number; (length = readSync(fd, buffer, 0, buffer.length, offset)); offset += length) {
    hasher.update(buffer.subarray(0, length));
    await Bun.sleep(0); // other downloads go on meanwhile
  }

  const drop = (why: string, cause?: unknown, hint?: string): never => {
    rmSync(path, { force: true });
    partial.close();
    throw new PodError(`blob ${descriptor.digest}: ${why}`, { cause, hint });
  };
  const partial = {
    path,
    get offset() {
      return offset;
    },
    write(chunk: Uint8Array) {
      if (offset + chunk.length > descriptor.size)
        drop(`it is longer than the ${descriptor.size} bytes it should have`);
      try {
        writeAt(fd, chunk, offset);
      } catch (error) {
        if (!hasCode(error, "ENOSPC", "EDQUOT", "EFBIG")) throw error;
        drop(`write ${path}`, error);
      }
      hasher.update(chunk);
      offset += chunk.length;
    },
    restart() {
      ftruncate(fd, 0);
      hasher = new Bun.CryptoHasher(algorithm);
      offset = 0;
    },
    async finish() {
      const found = `${algorithm}:${hasher.digest("hex")}`;
      if (offset !== descriptor.size) drop(`it has ${offset} bytes, not the ${descriptor.size} it should have`);
      if (found !== descriptor.digest) drop(`its bytes have the digest ${found}`, undefined, "try again");
      await syncFile(path); // extraction goes on
      adoptBlob(path, descriptor.digest);
      partial.close();
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      if (offset === 0) rmSync(path, { force: true }); // nothing to go on with
      close(fd);
    },
  };
  return partial;
}
