import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inStore } from "./instore.ts";
import { removeAll, sha256 } from "./layering.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "pod-store-"));
});
afterEach(() => removeAll(home));

test("a store is an image layout, closed to others, and opening it again changes nothing", async () => {
  await inStore(home, ({ store }) => store.openStore());
  expect(statSync(join(home, "pod")).mode & 0o777).toBe(0o700);
  expect(JSON.parse(readFileSync(join(home, "pod/oci-layout"), "utf8"))).toEqual({ imageLayoutVersion: "1.0.0" });
  expect(JSON.parse(readFileSync(join(home, "pod/index.json"), "utf8"))).toMatchObject({
    schemaVersion: 2,
    manifests: [],
  });
  chmodSync(join(home, "pod"), 0o755);
  await inStore(home, ({ store }) => store.openStore());
  expect(statSync(join(home, "pod")).mode & 0o777).toBe(0o700);
  expect(readdirSync(join(home, "pod/tmp"))).toEqual([]);
});

test("a folder that holds other things does not become a store", async () => {
  mkdirSync(join(home, "pod"));
  writeFileSync(join(home, "pod/thesis.txt"), "");
  await expect(inStore(home, ({ store }) => store.openStore())).rejects.toThrow("it holds other things (thesis.txt)");
});

test("sixteen first runs at once make one store", async () => {
  await Promise.all(Array.from({ length: 16 }, () => inStore(home, ({ store }) => store.openStore())));
  expect(readdirSync(join(home, "pod"))).toContain(".pod-store");
  expect(readdirSync(join(home, "pod/tmp"))).toEqual([]);
});

test("a folder where nothing can be written is an error", async () => {
  const closed = join(home, "closed");
  mkdirSync(closed, { mode: 0o500 });
  const opening = inStore(home, ({ store }) => store.openStore(), null, join(closed, "data"));
  if (process.getuid!() !== 0) await expect(opening).rejects.toThrow(/open the store .*permission denied \(EACCES\)/);
});

test("removeTree takes closed folders, deep trees and odd names, and leaves what symlinks lead to", async () => {
  const outside = join(home, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "precious"), "x");
  await inStore(
    home,
    ({ store, files, fs }, outside) => {
      store.openStore();
      const path = `${store.paths.temporary}/tree`;
      fs.mkdirSync(`${path}/${"d/".repeat(300)}`, { recursive: true });
      fs.writeFileSync(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xff, 0xfe])]), "");
      fs.symlinkSync(outside, `${path}/link`);
      fs.mkdirSync(`${path}/closed/inner`, { recursive: true });
      fs.chmodSync(`${path}/closed/inner`, 0);
      fs.chmodSync(`${path}/closed`, 0);
      files.removeTree(path);
      files.removeTree(path); // gone already
      files.removeTree(`${path}/nowhere/x`);
      fs.symlinkSync(outside, path);
      let refusal = "";
      try {
        files.removeTree(`${path}/precious`);
      } catch (error) {
        refusal = String(error);
      }
      files.removeTree(path);
      return refusal;
    },
    outside,
  ).then((refusal) => expect(refusal).toContain("remove"));
  expect(readdirSync(outside)).toEqual(["precious"]);
  expect(readdirSync(join(home, "pod/tmp"))).toEqual([]);
});

test.each(["tree/inner", "tree"])("removeTree takes what another process writes into %s meanwhile", async (folder) => {
  const left = inStore(
    home,
    async ({ store, files, fs }, folder) => {
      store.openStore();
      const [path, written] = [`${store.paths.temporary}/tree`, `${store.paths.temporary}/${folder}`];
      for (let round = 0; round < 20; round++) {
        fs.mkdirSync(written, { recursive: true });
        for (let i = 0; i < 100; i++) fs.writeFileSync(`${written}/${i}`, "");
        const script = "i=0; while [ $i -lt 2000 ] && : > new$i; do i=$((i+1)); done"; // as quick as it is removed
        const writer = Bun.spawn(["sh", "-c", script], { cwd: written, stderr: "ignore" });
        while (!fs.existsSync(`${written}/new1`)) Bun.sleepSync(1);
        files.removeTree(path);
        await writer.exited; // its folder is gone
        if (fs.existsSync(path)) return true;
      }
      return false;
    },
    folder,
  );
  expect(await left).toBe(false);
});

test("removeTree refuses what is not in the store, and a store without its marker", async () => {
  writeFileSync(join(home, "mine"), "");
  for (const name of ["../mine", "", "..", "a/../../mine"]) {
    const removal = inStore(
      home,
      ({ store, files }, name) => {
        store.openStore();
        files.removeTree(`${store.paths.root}/${name}`);
      },
      name,
    );
    await expect(removal).rejects.toThrow("it is not in the store");
  }
  const unmarked = inStore(home, ({ store, files, fs }) => {
    store.openStore();
    fs.unlinkSync(`${store.paths.root}/.pod-store`);
    files.removeTree(store.paths.layers);
  });
  await expect(unmarked).rejects.toThrow(".pod-store");
  expect(existsSync(join(home, "mine"))).toBe(true);
  expect(existsSync(join(home, "pod/layers"))).toBe(true);
});

test("JSON files: none is undefined, a damaged one is named", async () => {
  await inStore(home, ({ store }) => store.openStore());
  const read = (content: string | null) =>
    inStore(
      home,
      ({ store, files, fs }, text) => {
        const path = `${store.paths.root}/x.json`;
        if (text !== null) fs.writeFileSync(path, text);
        return files.readJson(path) ?? "nothing";
      },
      content,
    );
  expect(await read(null)).toBe("nothing");
  expect(await read('{"a":1}')).toEqual({ a: 1 });
  await expect(read('{"a":')).rejects.toThrow(/x\.json: it is damaged/);
});

test("blobs are kept by digest; a download that is wrong, too long or too short leaves nothing", async () => {
  const digest = sha256(Buffer.from("hello"));
  const result = await inStore(
    home,
    async ({ store, blobs, errors, fs }, digest) => {
      store.openStore();
      const said: string[] = [];
      const attempt = async (size: number, ...chunks: string[]) => {
        const partial = (await blobs.openPartialBlob({ mediaType: "", digest, size }))!;
        try {
          for (const chunk of chunks) partial.write(Buffer.from(chunk));
          await partial.finish();
        } catch (error) {
          said.push(errors.formatError(error));
        } finally {
          partial.close();
        }
      };
      await attempt(5, "hella");
      await attempt(5, "hello", "!");
      await attempt(9, "hello");
      said.push(String(fs.readdirSync(store.paths.partials).length), String(blobs.hasBlob(digest)));
      const first = (await blobs.openPartialBlob({ mediaType: "", digest, size: 5 }))!;
      first.write(Buffer.from("hex"));
      first.close();
      const second = (await blobs.openPartialBlob({ mediaType: "", digest, size: 5 }))!;
      said.push(String(second.offset));
      second.restart();
      second.write(Buffer.from("hello"));
      await second.finish();
      said.push(
        blobs.readBlob(digest).toString(),
        String(await blobs.openPartialBlob({ mediaType: "", digest, size: 5 })),
      );
      said.push(String(blobs.putBlob(Buffer.from("hello")) === digest));
      return said;
    },
    digest,
  );
  expect(result).toEqual([
    `blob ${digest}: its bytes have the digest ${sha256(Buffer.from("hella"))}`,
    `blob ${digest}: it is longer than the 5 bytes it should have`,
    `blob ${digest}: it has 5 bytes, not the 9 it should have`,
    "0",
    "false",
    "3",
    "hello",
    "undefined",
    "true",
  ]);
});

test("a text that is no digest names no path", async () => {
  for (const digest of [
    "sha256:../../../etc/passwd",
    "md5:abc",
    `sha256:${"A".repeat(64)}`,
    "x",
    `sha256:${"a".repeat(64)}:b`,
  ]) {
    await expect(inStore(home, ({ blobs }, text) => blobs.blobPath(text), digest)).rejects.toThrow("is not a digest");
  }
});

test("a layer's names: chainIds as the image specification computes them, links of 26 characters", async () => {
  const [a, b] = [sha256(Buffer.from("a")), sha256(Buffer.from("b"))];
  const { chain, link } = await inStore(
    home,
    ({ layers }, ids) => {
      const chain = layers.chainIds(ids);
      return { chain, link: layers.layerLink(chain[1]!) };
    },
    [a, b],
  );
  expect(chain).toEqual([a, sha256(Buffer.from(`${a} ${b}`))]);
  expect(link).toMatch(/^l\/[0-9a-v]{26}$/);
});

test("what a log on a full disk has without a record counts as lost: nobody would find it", async () => {
  const found = await inStore(home, ({ store, logs, fs }) => {
    store.openStore();
    const folder = `${store.paths.containers}/${"c".repeat(64)}`;
    fs.mkdirSync(folder);
    fs.symlinkSync("/dev/full", `${folder}/container.log.index`);
    const writer = new logs.LogWriter("c".repeat(64));
    writer.append("stdout", Buffer.from("12345"), 1n);
    writer.close();
    return [writer.lostBytes, fs.statSync(`${folder}/container.log`).size];
  });
  expect(found).toEqual([5, 0]);
});
