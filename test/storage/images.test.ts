import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inStore } from "./instore.ts";
import { inNamespace, removeAll } from "./layering.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "pod-images-"));
});
afterEach(() => removeAll(home));

test("an image is found by its names, its digest and its id", async () => {
  const found = await inStore(home, ({ store, images, putImage }) => {
    store.openStore();
    const image = putImage("a", "docker.io/library/alpine:3.20");
    putImage("a", "docker.io/library/alpine:latest");
    const other = putImage("b", "quay.io/org/tool:v1");
    const texts = [
      "alpine",
      "alpine:3.20",
      "docker.io/library/alpine",
      `alpine@${image.digest}`,
      image.id,
      image.id.slice(7),
      image.id.slice(7, 19),
      `sha256:${image.id.slice(7, 12)}`,
    ];
    const misses = ["alpine:3", "library/tool", "quay.io/org/tool", `busybox@${image.digest}`, "zz", "sha256:"];
    return {
      hits: texts.map((text) => images.findImage(text)?.id === image.id),
      misses: misses.map((text) => images.findImage(text)?.id ?? "none"),
      other: images.findImage("quay.io/org/tool:v1")?.id === other.id,
      references: images.findImage("alpine")!.references,
      list: images.listImages().map(({ created }) => created),
      image: { platform: image.platform, sizeBytes: image.sizeBytes },
    };
  });
  expect(found.hits).toEqual(Array(8).fill(true));
  expect(found.misses).toEqual(Array(6).fill("none"));
  expect(found).toMatchObject({
    other: true,
    references: ["docker.io/library/alpine:3.20", "docker.io/library/alpine:latest"],
    list: ["2024-b", "2024-a"],
    image: { platform: { os: "linux", architecture: "amd64" }, sizeBytes: 7 },
  });
});

test("digits that begin several ids are a conflict", async () => {
  const finding = inStore(home, ({ store, images, putImage }) => {
    store.openStore();
    const ids = Array.from({ length: 17 }, (_, index) => putImage(String(index)).id[7]!); // two begin alike
    images.findImage(ids.find((digit, index) => ids.indexOf(digit) !== index)!);
  });
  await expect(finding).rejects.toThrow("several images have an id that begins with");
});

test("a name moves to the new image, and the old one stays without a name", async () => {
  const lists = await inStore(home, ({ store, images, putImage }) => {
    store.openStore();
    const state = () => images.listImages().map(({ created, references }) => [created, ...references]);
    putImage("old", "docker.io/library/x:1");
    putImage("new", "docker.io/library/x:1");
    const moved = state();
    putImage("old"); // without a name: it is there already
    putImage("new");
    const same = state();
    images.removeReference("docker.io/library/x:1");
    const untagged = state();
    images.deleteImage(images.listImages()[0]!);
    return { moved, same, untagged, deleted: state() };
  });
  expect(lists.moved).toEqual([["2024-old"], ["2024-new", "docker.io/library/x:1"]].toSorted().reverse());
  expect(lists.same).toEqual(lists.moved);
  expect(lists.untagged).toEqual([["2024-old"], ["2024-new"]]);
  expect(lists.deleted).toEqual([["2024-new"]]);
});

test("collection keeps what images, containers and leases name, and takes everything else", async () => {
  const result = await inStore(home, ({ store, images, blobs, fs, putImage }) => {
    store.openStore();
    const kept = putImage("kept", "docker.io/library/kept:1");
    const gone = putImage("gone", "docker.io/library/gone:1");
    const used = putImage("used", "docker.io/library/used:1");
    const leased = blobs.putBlob(Buffer.from("leased"));
    const lease = images.holdLease([]);
    lease.add([leased]);
    images.deleteImage(gone);
    images.deleteImage(used);
    const old = `${store.paths.partials}/sha256-old`;
    fs.writeFileSync(old, "x");
    fs.utimesSync(old, 1, Date.now() / 1000 - 8 * 24 * 3600);
    fs.writeFileSync(`${store.paths.partials}/sha256-new`, "x");
    fs.mkdirSync(`${store.paths.temporary}/1-1-deadboot-1/diff`, { recursive: true });
    fs.mkdirSync(`${store.paths.layers}/${"a".repeat(64)}/diff`, { recursive: true });
    fs.symlinkSync("../layers/x/diff", `${store.paths.links}/${"0".repeat(26)}`);
    fs.writeFileSync(`${store.paths.locks}/layer-${"b".repeat(64)}`, "");
    const container = `${store.paths.containers}/${"c".repeat(64)}`;
    const record = { id: "c".repeat(64), image: { id: used.id }, layers: used.config.rootfs.diff_ids };
    fs.mkdirSync(container);
    fs.writeFileSync(`${container}/container.json`, JSON.stringify(record));
    fs.writeFileSync(`${container}/state.json`, '{"status":"exited"}');
    const { deleted, reclaimedBytes } = images.collectGarbage({ measure: true });
    const { partials, temporary, layers, links } = store.paths;
    const rest = [partials, temporary, layers, links].map((path) => fs.readdirSync(path));
    rest.push(fs.readdirSync(store.paths.locks).filter((name) => name.startsWith("layer-")));
    lease.release();
    const second = images.collectGarbage().deleted;
    return {
      deleted: deleted.toSorted(),
      gone: [gone.id, gone.digest, gone.config.rootfs.diff_ids[0]!, used.digest, `sha256:${"a".repeat(64)}`].toSorted(),
      reclaimed: reclaimedBytes % 512 === 0 && reclaimedBytes > 0,
      rest,
      second,
      leased,
      left: [
        blobs.hasBlob(kept.digest),
        blobs.hasBlob(kept.id),
        blobs.hasBlob(used.id),
        blobs.hasBlob(used.config.rootfs.diff_ids[0]!),
      ],
    };
  });
  expect(result.deleted).toEqual(result.gone);
  expect(result.reclaimed).toBe(true);
  expect(result.rest).toEqual([["sha256-new"], [], [], [], []]);
  expect(result.second).toEqual([result.leased]);
  expect(result.left).toEqual([true, true, true, true]);
});

test("a lease ends with its process", async () => {
  const command = (job: object) => [
    ...inNamespace,
    process.execPath,
    join(import.meta.dir, "worker.ts"),
    JSON.stringify(job),
  ];
  const digest = await inStore(home, ({ store, blobs }) => {
    store.openStore();
    return blobs.putBlob(Buffer.from("leased"));
  });
  const holder = Bun.spawn(command({ kind: "lease", names: [digest] }), {
    env: { ...process.env, XDG_DATA_HOME: home },
    stdout: "pipe",
  });
  const reader = holder.stdout.getReader();
  await reader.read();
  const collect = () => inStore(home, ({ images }) => images.collectGarbage().deleted);
  expect(await collect()).toEqual([]);
  holder.kill("SIGKILL");
  await holder.exited;
  expect(await collect()).toEqual([digest]);
});

test("an image whose blobs are gone is none, and collection takes it from the index", async () => {
  const [before, listed, index] = await inStore(home, ({ store, images, blobs, fs, putImage }) => {
    store.openStore();
    const image = putImage("a", "docker.io/library/a:1");
    const before = images.listImages().length;
    blobs.deleteBlob(image.id);
    const listed = images.listImages().length;
    images.collectGarbage();
    return [before, listed, JSON.parse(fs.readFileSync(store.paths.index, "utf8")).manifests.length];
  });
  expect([before, listed, index]).toEqual([1, 0, 0]);
});

test("the index alone tells what a list shows; what a repaired one lacks is read from the blobs", async () => {
  const { image, fromIndex, fromBlobs } = await inStore(home, ({ store, images, blobs, files, putImage }) => {
    store.openStore();
    const { manifest: _, config: __, platform: ___, ...image } = putImage("a", "docker.io/library/a:1");
    images.replaceIndex([{ mediaType: "m", digest: image.digest, size: 1 }]);
    const fromBlobs = images.listSummaries();
    putImage("a", "docker.io/library/a:1");
    files.writeFileAtomic(blobs.blobPath(image.id), "not read");
    return { image, fromIndex: images.listSummaries(), fromBlobs };
  });
  expect(fromIndex).toEqual([image]);
  expect(fromBlobs).toEqual([{ ...image, references: [] }]);
});

test("names given at once by many processes are all kept", async () => {
  await inStore(home, ({ store }) => store.openStore());
  const put = (index: number) =>
    inStore(home, ({ putImage }, n) => putImage(`w${n}`, `docker.io/library/w${n}:1`).references, index);
  await Promise.all(Array.from({ length: 8 }, (_, index) => put(index)));
  const names = await inStore(home, ({ images }) =>
    images
      .listImages()
      .flatMap(({ references }) => references)
      .toSorted(),
  );
  expect(names).toEqual(Array.from({ length: 8 }, (_, index) => `docker.io/library/w${index}:1`));
});
