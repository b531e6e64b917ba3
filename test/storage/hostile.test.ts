import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { file, folder, hardLink, symlink, tar, toBlocks } from "./archive.ts";
import { layer, sha256 } from "./layering.ts";

/** A folder outside every layer, in which an archive would like to write. */
let outside: string;
beforeAll(() => {
  outside = mkdtempSync(join(tmpdir(), "pod-outside-"));
  writeFileSync(join(outside, "secret"), "mine");
  chmodSync(join(outside, "secret"), 0o600);
});
afterAll(() => rmSync(outside, { recursive: true }));

async function refused(...members: Parameters<typeof tar>): Promise<string> {
  const { error, leftovers, layers } = await layer(tar(...members));
  expect(layers).toEqual([]);
  expect(leftovers).toEqual([]);
  expect(readdirSync(outside)).toEqual(["secret"]);
  return error!;
}

test("a file behind a symlink to an absolute path stays within the layer", async () => {
  const { layers } = await layer(tar(symlink("out", outside), file("out/evil", "x"), file("out/secret", "gone")));
  expect(layers[0]![`${outside.slice(1)}/evil`]!.content).toBe("x");
  expect(readdirSync(outside)).toEqual(["secret"]);
});

test("a file behind a symlink full of .. stays within the layer", async () => {
  const { layers } = await layer(tar(symlink("up", "../../../../../../../../../.."), file(`up${outside}/evil`, "x")));
  expect(layers[0]![`${outside.slice(1)}/evil`]!.content).toBe("x");
  expect(readdirSync(outside)).toEqual(["secret"]);
});

test("a file of a symlink's name replaces the symlink and does not go through it", async () => {
  const { layers } = await layer(
    tar(
      symlink("link", join(outside, "secret")),
      file("link", "x"),
      symlink("dir", outside),
      folder("dir", { mode: 0o777 }),
    ),
  );
  expect(layers[0]!.link).toMatchObject({ kind: "file", content: "x" });
  expect(layers[0]!.dir).toMatchObject({ kind: "directory" });
  expect(await Bun.file(join(outside, "secret")).text()).toBe("mine");
});

test("names with .. are refused", async () => {
  expect(await refused(file("../evil"))).toContain("../evil would lead out of the layer");
  expect(await refused(file("a/../../evil"))).toContain("would lead out of the layer");
  expect(await refused(file("a"), hardLink("b", `../../../../../../../..${outside}/secret`))).toContain(
    "would lead out of the layer",
  );
});

test("an absolute name means the layer's root", async () => {
  const { layers } = await layer(tar(file(`${outside}/evil`, "x")));
  expect(layers[0]![`${outside.slice(1)}/evil`]!.content).toBe("x");
  expect(existsSync(join(outside, "evil"))).toBe(false);
});

test("a hard link to a file outside, by name or through a symlink, is refused", async () => {
  expect(await refused(hardLink("b", `${outside}/secret`))).toContain("which is not there");
  expect(await refused(symlink("out", outside), hardLink("b", "out/secret"))).toContain("which is not there");
});

test("a symlink that leads to itself is refused", async () => {
  expect(await refused(symlink("loop", "loop"), file("loop/x"))).toContain("too many levels of symbolic links");
});

test("whiteouts of ., .. and nothing are refused, and so is a folder that is called like one", async () => {
  for (const name of [".wh.", ".wh..", ".wh...", "a/.wh...", ".wh.a/b"]) {
    expect(await refused(file(name))).toContain("no whiteout that the image specification knows");
  }
});

test("a whiteout behind a symlink deletes nothing outside", async () => {
  const { error } = await layer(tar(symlink("out", outside), file("out/.wh.secret"), file("out/.wh..wh..opq")));
  expect(error).toBeUndefined();
  expect(readdirSync(outside)).toEqual(["secret"]);
});

test("a header, name or size beyond all measure is refused", async () => {
  const long = "a/".repeat(3000);
  expect(await refused(file("x", "", { pax: { path: long } }))).toContain("more than 4096 bytes");
  expect(await refused({ name: "pax", type: "x", content: Buffer.alloc((1 << 20) + 1) })).toContain(
    "extended header of more than 1048576 bytes",
  );
  expect(await refused(file("n".repeat(90), "", { pax: { path: "n".repeat(300) } }))).toContain(
    "file name too long (ENAMETOOLONG)",
  );
  expect(await refused(file("x", "", { pax: { uid: "4294967295" } }))).toContain("no owner");
  expect(await refused(file("x", "", { pax: { size: "99999999999999999" } }))).toContain("damaged");
  expect(await refused(file("x", "", { type: "Z" }))).toContain('unknown type "Z"');
});

test("an archive that is cut short or damaged is refused and leaves nothing", async () => {
  const good = tar(file("a", "x".repeat(5000)), file("b", "y"));
  const bad = Buffer.from(good);
  bad[1] = 0x41;
  for (const [bytes, text] of [
    [good.subarray(0, 300), "cut short"],
    [good.subarray(0, 2000), "cut short"],
    [bad, "checksum is wrong"],
  ] as const) {
    const { error, layers, leftovers } = await layer({ bytes, diffId: sha256(bytes) });
    expect(error).toContain(text);
    expect({ layers, leftovers }).toEqual({ layers: [], leftovers: [] });
  }
});

test("a layer with another digest, and compressed data that is cut short, leave nothing", async () => {
  const plain = tar(file("a", "x".repeat(50_000)));
  const other = await layer({ bytes: plain, diffId: sha256(Buffer.from("other")) });
  expect(other.error).toContain(`its content has the digest ${sha256(plain)}`);
  const gzip = Bun.gzipSync(Buffer.concat([plain, Buffer.from(crypto.getRandomValues(new Uint8Array(60_000)))]));
  const zstd = Bun.zstdCompressSync(plain);
  for (const [bytes, text] of [
    [gzip.subarray(0, 20_000), "the gzip data is damaged or cut short"],
    [gzip.subarray(0, gzip.length - 4), "the gzip data is damaged or cut short"],
    [zstd.subarray(0, zstd.length - 10), "the layer is refused"],
    [Buffer.concat([zstd.subarray(0, 30), Buffer.from("no zstd"), zstd.subarray(37)]), "damaged"],
  ] as const) {
    const { error, layers, leftovers } = await layer({ bytes: Buffer.from(bytes), plain });
    expect(error).toContain(text);
    expect({ layers, leftovers }).toEqual({ layers: [], leftovers: [] });
  }
  expect([other.layers, other.leftovers]).toEqual([[], []]);
});

test("bytes after the archive's end count for the digest and for nothing else", async () => {
  const plain = Buffer.concat([tar(file("a")), toBlocks(file("b"))]);
  const { layers } = await layer(plain);
  expect(Object.keys(layers[0]!)).toEqual(["", "a"]);
});
