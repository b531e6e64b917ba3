/**
 * Runs in a user namespace with its own mounts, started by `layering.ts`: extracts archives one upon the other and
 * prints as JSON what each layer holds, and what an overlay of all of them shows.
 */

import { createReadStream, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { formatError } from "../../src/errors.ts";
import { getXattr, listXattrs } from "../../src/ns/sys/file.ts";
import { mount } from "../../src/ns/sys/namespace.ts";
import { extractLayer } from "../../src/storage/layer-making.ts";
import { chainIds, layerDir, layerLink, readLayer } from "../../src/storage/layers.ts";
import { openStore, paths } from "../../src/storage/store.ts";
import type { Found, Layering } from "./layering.ts";

const archives: { path: string; diffId: string }[] = JSON.parse(process.argv[2]!);

function tree(root: string, path = ""): Record<string, Found> {
  const found: Record<string, Found> = {};
  const here = Buffer.from(join(root, path), "latin1");
  for (const bytes of readdirSync(here, { encoding: "buffer" }) as unknown as Buffer[]) {
    const name = path ? `${path}/${bytes.toString("latin1")}` : bytes.toString("latin1");
    found[Buffer.from(name, "latin1").toString()] = describe(Buffer.from(join(root, name), "latin1"));
    if (lstatSync(Buffer.from(join(root, name), "latin1")).isDirectory()) Object.assign(found, tree(root, name));
  }
  return found;
}

function describe(path: Buffer): Found {
  const status = lstatSync(path, { bigint: true });
  const kind = status.isFile()
    ? "file"
    : status.isDirectory()
      ? "directory"
      : status.isSymbolicLink()
        ? "symlink"
        : status.isFIFO()
          ? "fifo"
          : status.rdev === 0n
            ? "whiteout"
            : "device";
  const text = path.toString();
  const xattrs = path.equals(Buffer.from(text)) ? listXattrs(text) : [];
  return {
    kind,
    mode: (Number(status.mode) & 0o7777).toString(8),
    owner: `${status.uid}:${status.gid}`,
    mtime: String(status.mtimeNs),
    links: Number(status.nlink),
    ...(kind === "file" && {
      size: Number(status.size),
      blocks: Number(status.blocks),
      ...contentOf(path),
    }),
    ...(kind === "symlink" && { target: readlinkSync(path) }),
    ...(xattrs.length && {
      xattrs: Object.fromEntries(xattrs.map((name) => [name, getXattr(text, name)!.toString("hex")])),
    }),
  };
}

function contentOf(path: Buffer): Pick<Found, "content" | "digest"> {
  const bytes = readFileSync(path);
  return {
    content: bytes.subarray(0, 200).toString(),
    digest: new Bun.CryptoHasher("sha256").update(bytes).digest("hex"),
  };
}

function overlay(chain: string[]): Record<string, Found> | undefined {
  const target = join(paths.root, "merged");
  mkdirSync(target);
  process.chdir(paths.root);
  const lower = [...chain.toReversed().map(layerLink), "merged"]; // one layer alone is no overlay
  mount("overlay", target, "overlay", 0, `userxattr,lowerdir=${lower.join(":")}`);
  return tree(target);
}

const result: Layering = { layers: [], records: [], leftovers: [] };
openStore();
const chain = chainIds(archives.map(({ diffId }) => diffId));
try {
  for (const [index, { path, diffId }] of archives.entries()) {
    const layer = { diffId, chainId: chain[index]!, parents: chain.slice(0, index), blob: diffId };
    await extractLayer(createReadStream(path), layer);
    result.layers.push({ "": describe(Buffer.from(layerDir(chain[index]!))), ...tree(layerDir(chain[index]!)) });
    result.records.push(readLayer(chain[index]!)!);
  }
} catch (error) {
  result.error = formatError(error);
}
result.leftovers = [
  ...readdirSync(paths.temporary),
  ...readdirSync(paths.locks).filter((name) => name.startsWith("layer-")),
];
if (!result.error) result.merged = overlay(chain);
process.stdout.write(JSON.stringify(result));
