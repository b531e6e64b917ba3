import { expect, test } from "bun:test";
import { file, folder, hardLink, symlink, tar } from "./archive.ts";
import { type Found, layer, layerWithOneId } from "./layering.ts";

const names = (tree: Record<string, Found> | undefined) =>
  Object.keys(tree ?? {})
    .filter(Boolean)
    .sort();

test("files keep their content, owner, mode and time to the nanosecond", async () => {
  const { layers, records, leftovers } = await layer(
    tar(
      folder("bin", { mode: 0o1777, uid: 3, gid: 4 }),
      file("bin/su", "#!", { mode: 0o4755, uid: 1000, gid: 1001, pax: { mtime: "1600000001.123456789" } }),
      file("bin/old", "", { pax: { mtime: "-1.5" } }),
      { name: "pipe", type: "6", mode: 0o622 },
      symlink("sh", "/bin/su"),
    ),
  );
  expect(layers[0]!["bin/su"]).toMatchObject({
    kind: "file",
    mode: "4755",
    owner: "1000:1001",
    content: "#!",
    mtime: "1600000001123456789",
  });
  expect(layers[0]!["bin/old"]!.mtime).toBe("-1500000000");
  expect(layers[0]!.bin).toMatchObject({ mode: "1777", owner: "3:4", mtime: "1600000000000000000" });
  expect(layers[0]!.pipe).toMatchObject({ kind: "fifo", mode: "622" });
  expect(layers[0]!.sh).toMatchObject({ kind: "symlink", target: "/bin/su", mtime: "1600000000000000000" });
  expect(records[0]).toMatchObject({ entries: 5, sizeBytes: 2, skipped: { devices: 0, xattrs: 0, owners: 0 } });
  expect(leftovers).toEqual([]);
});

test("a whiteout hides the file of the layer below, an opaque marker a folder's whole content, also after its siblings", async () => {
  const { merged, layers } = await layer(
    tar(file("motd", "hello"), file("etc/a"), file("etc/b"), file("opt/x/1"), file("opt/x/2")),
    tar(
      file(".wh.motd"),
      folder("etc"),
      file("etc/c", "new"),
      file("etc/.wh..wh..opq"),
      file("opt/x/.wh.1"),
      file(".wh.nothing"),
    ),
  );
  expect(names(merged)).toEqual(["etc", "etc/c", "opt", "opt/x", "opt/x/2"]);
  expect(layers[1]!.motd!.kind).toBe("whiteout");
  expect(layers[1]!.etc!.xattrs).toEqual({ "user.overlay.opaque": "79", "user.fuseoverlayfs.opaque": "79" });
  expect(layers[1]!.nothing).toBeUndefined();
});

test("what a layer has itself stays in spite of a whiteout of the same name, whichever comes first", async () => {
  const lower = tar(file("a", "old"), file("b", "old"), file("dir/old"), file("tree/old"), file("left/old"));
  const upper = tar(
    file(".wh.a"),
    file("a", "new"),
    file("b", "new"),
    file(".wh.b"),
    file(".wh.dir"),
    folder("dir"),
    file("dir/new"),
    folder("tree"),
    file("tree/new"),
    file(".wh.tree"),
    file(".wh.left"),
    file("left/new"),
  );
  const { merged } = await layer(lower, upper);
  expect(names(merged)).toEqual(["a", "b", "dir", "dir/new", "left", "left/new", "tree", "tree/new"]);
  expect([merged!.a!.content, merged!.b!.content]).toEqual(["new", "new"]);
});

test("an opaque marker in the root hides all layers below", async () => {
  const { merged } = await layer(
    tar(file("a"), file("b/c"), file("d/e")),
    tar(file("d/f"), file(".wh..wh..opq"), file("g")),
  );
  expect(names(merged)).toEqual(["d", "d/f", "g"]);
});

test("a folder that the archive leaves out keeps the owner, mode, time and attributes of the layer below", async () => {
  const { layers } = await layer(
    tar(
      folder("srv", { mode: 0o2750, uid: 7, gid: 8, pax: { mtime: "1500000000.5", "SCHILY.xattr.user.note": "kept" } }),
      folder("./", { mode: 0o711 }),
    ),
    tar(file("srv/new/file", "x")),
  );
  expect(layers[1]!.srv).toMatchObject({
    mode: "2750",
    owner: "7:8",
    mtime: "1500000000500000000",
    xattrs: { "user.note": Buffer.from("kept").toString("hex") },
  });
  expect(layers[1]!["srv/new"]).toMatchObject({ mode: "755", owner: "0:0" });
  expect(layers[1]![""]).toMatchObject({ mode: "711" });
});

test("hard links are one file, also to one that only a layer below has", async () => {
  const { layers, merged } = await layer(
    tar(file("usr/tool", "tool", { mode: 0o4711, uid: 5 }), symlink("link", "usr/tool")),
    tar(file("a", "x"), hardLink("dir/b", "a"), hardLink("c", "/usr/tool"), hardLink("l2", "link"), hardLink("a", "a")),
  );
  expect(layers[1]!.a).toMatchObject({ links: 2, content: "x" });
  expect(layers[1]!["dir/b"]).toMatchObject({ links: 2, content: "x" });
  expect(layers[1]!.c).toMatchObject({ links: 2, content: "tool", mode: "4711", owner: "5:0" });
  expect(merged!["usr/tool"]).toMatchObject({ links: 2, content: "tool", mode: "4711" });
  expect(layers[1]!.l2).toMatchObject({ kind: "symlink", target: "usr/tool" });
});

test("a parent that is a symlink, here or in a layer below, leads to its target within the layer", async () => {
  const { layers, merged } = await layer(
    tar(folder("usr/lib", { mode: 0o711 }), symlink("lib", "usr/lib"), symlink("abs", "/usr/lib")),
    tar(
      file("lib/a", "1"),
      symlink("own", "../../usr/share/x"),
      file("own/b", "2"),
      file("abs/c", "3"),
      file("own/b2"),
    ),
  );
  expect(names(layers[1])).toEqual([
    "own",
    "usr",
    "usr/lib",
    "usr/lib/a",
    "usr/lib/c",
    "usr/share",
    "usr/share/x",
    "usr/share/x/b",
    "usr/share/x/b2",
  ]);
  expect(layers[1]!["usr/lib"]!.mode).toBe("711");
  expect(merged!.lib!.kind).toBe("symlink");
});

test("the last entry of a name wins, and a folder keeps its content if it is one again", async () => {
  const { layers } = await layer(
    tar(
      file("a", "1"),
      file("a", "2"),
      folder("d"),
      file("d/x", "x"),
      folder("d", { mode: 0o700 }),
      folder("e"),
      file("e/y"),
      file("e", "now a file"),
      symlink("s", "d"),
      folder("s"),
      file("s/z"),
      file("f"),
      symlink("f", "a"),
    ),
  );
  expect(layers[0]!.a).toMatchObject({ content: "2", links: 1 });
  expect(layers[0]!.d).toMatchObject({ mode: "700" });
  expect(names(layers[0])).toEqual(["a", "d", "d/x", "e", "f", "s", "s/z"]);
  expect(layers[0]!.e!.kind).toBe("file");
  expect(layers[0]!.f!.kind).toBe("symlink");
});

test("devices are skipped and counted where the kernel refuses them", async () => {
  const { layers, records } = await layer(
    tar(
      { name: "null", type: "3", major: 1, minor: 3 },
      { name: "sda", type: "4", major: 8 },
      { name: "zero", type: "3" },
      file("x"),
    ),
  );
  expect(names(layers[0])).toEqual(["x"]);
  expect(records[0]!.skipped.devices).toBe(3);
});

test("file capabilities and user attributes are set, words to overlay drivers and to pod are not", async () => {
  const capability = Buffer.from("0100000200040000000000000000000000000000", "hex"); // version 2, CAP_NET_BIND_SERVICE
  const { layers, records } = await layer(
    tar(
      file("ping", "", {
        pax: {
          "SCHILY.xattr.security.capability": capability,
          "SCHILY.xattr.user.empty": "",
          "SCHILY.xattr.user.overlay.opaque": "y",
          "SCHILY.xattr.trusted.overlay.redirect": "/x",
          "SCHILY.xattr.user.fuseoverlayfs.origin": "x",
          "SCHILY.xattr.user.pod.owner": "0:0:4755",
          "SCHILY.xattr.trusted.other": "x",
        },
      }),
    ),
  );
  expect(layers[0]!.ping!.xattrs).toEqual({ "security.capability": capability.toString("hex"), "user.empty": "" });
  expect(records[0]!.skipped.xattrs).toBe(5);
});

test("an owner that is not mapped is noted, and gives its setuid bit to nobody else", async () => {
  const { layers, records } = await layer(
    tar(
      file("tool", "", { mode: 0o6755, uid: 0, gid: 70_000 }),
      file("su", "", { mode: 0o4755, pax: { uid: "4000000000" } }),
    ),
  );
  expect(layers[0]!.tool).toMatchObject({ owner: "0:0", mode: "4755" });
  expect(layers[0]!.su).toMatchObject({
    owner: "0:0",
    mode: "755",
    xattrs: { "user.pod.owner": Buffer.from("4000000000:0:4755").toString("hex") },
  });
  expect(records[0]!.skipped.owners).toBe(2);
});

test("names that are unicode, long, or not UTF-8 come through as they are", async () => {
  const long = `${"d".repeat(200)}/${"ä".repeat(120)}`;
  const bytes = Buffer.from([0x66, 0xff, 0xfe]);
  const { layers } = await layer(
    tar(file("日本/ü", "1"), file("x", "2", { pax: { path: long } }), file("y", "3", { pax: { path: bytes } })),
  );
  expect(layers[0]!["日本/ü"]!.content).toBe("1");
  expect(layers[0]![long]!.content).toBe("2");
  expect(layers[0]![bytes.toString()]!.content).toBe("3");
});

test("where one id only is mapped a layer is made all the same, and what was wanted is noted", async () => {
  const { layers, records, merged, error } = await layerWithOneId(
    tar(
      file("gone"),
      file("shadow", "x", { mode: 0o2640, gid: 42 }),
      file("su", "", { mode: 0o4755 }),
      symlink("l", "x"),
      { ...symlink("m", "x"), uid: 5 },
    ),
    tar(file(".wh.gone"), hardLink("again", "shadow")),
  );
  expect(error).toBeUndefined();
  const owner = Buffer.from("0:42:2640").toString("hex");
  expect(layers[0]!.shadow).toMatchObject({ owner: "0:0", mode: "640", xattrs: { "user.pod.owner": owner } });
  expect(layers[0]!.su).toMatchObject({ owner: "0:0", mode: "4755" });
  expect(records[0]!.skipped.owners).toBe(2);
  expect(Object.keys(merged!).toSorted()).toEqual(["again", "l", "m", "shadow", "su"]);
  expect(layers[1]!.again!.xattrs).toEqual({ "user.pod.owner": owner });
});
