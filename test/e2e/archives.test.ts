/** save and load: what goes out comes back as it was, other programs read it, and what is wrong with an archive is said. */

import { beforeAll, expect, test } from "bun:test";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeLayout } from "../layout.ts";
import { startRegistry } from "../registry.ts";
import { file, folder, hardLink, symlink, tar } from "../storage/archive.ts";
import { shell } from "./crafted.ts";
import { onBothDrivers, quietRun } from "./harness.ts";
import { podman, run, skopeo } from "./tools.ts";

const compressed = (program: string, stdin: Uint8Array) => Bun.spawnSync([program, "-c"], { stdin }).stdout;

const layers = [
  [folder("."), ...shell()],
  [
    folder("etc"),
    file("etc/secret", "s", { mode: 0o4750, uid: 33, gid: 44, pax: { mtime: "1700000000.123456789" } }),
    hardLink("etc/link", "etc/secret"),
    symlink("etc/sym", "secret"),
  ],
  [file("etc/.wh.sym", ""), file("etc/caps", "c", { pax: { "SCHILY.xattr.user.note": "kept" } })],
];

onBothDrivers("save and load", (host) => {
  const at = (name: string) => join(host.work, name);
  /** An image layout in the folder `name`; `config` tells images apart. */
  const layout = (name: string, config = {}) =>
    writeLayout(at(name), [{ layers: layers.map((members) => tar(...members)), config: { Cmd: ["sh"], ...config } }]);
  const loadLayout = async (name: string) =>
    /Loaded image ID: (\S+)/.exec(await host.must("load", "-i", at(name)))![1]!;
  const inspect = async (name: string) => JSON.parse(await host.must("image", "inspect", name))[0];
  const clear = async () => {
    const ids = (await host.must("images", "-q")).split("\n").filter(Boolean);
    if (ids.length) await host.must("rmi", "-f", ...new Set(ids));
  };
  const blobs = () => readdirSync(join(host.dataDir, "blobs/sha256")).sort();
  const look = "/bin/busybox stat -c '%a %u:%g %h %y' /etc/secret; ls /etc; cat /etc/caps";

  let made: ReturnType<typeof layout>;
  beforeAll(async () => {
    made = layout("layout");
    await host.must("tag", await loadLayout("layout"), "team/app:1");
  });

  test("an OCI archive brings back ids, digests, blobs and files, and is the same when it is saved again", async () => {
    const [before, blobsBefore] = [await inspect("team/app:1"), blobs()];
    expect(before.Id).toBe(made.configs[0]!.digest);
    const files = await host.must(...quietRun, "team/app:1", "sh", "-c", look);
    expect(files).toContain("4750 33:44 2 2023-11-14");
    await host.must("save", "--format", "oci-archive", "-o", at("a.tar"), "team/app:1");
    await host.must("rmi", "team/app:1");
    expect(blobs()).toEqual([]);
    expect(await host.must("load", "-i", at("a.tar"))).toBe("Loaded image: team/app:1");
    expect(await inspect("team/app:1")).toEqual(before);
    expect(blobs()).toEqual(blobsBefore);
    expect(await host.must(...quietRun, "team/app:1", "sh", "-c", look)).toBe(files);
    const again = await host.pod("save", "--format=oci-archive", "team/app:1");
    expect(again.bytes.equals(readFileSync(at("a.tar")))).toBe(true);
  });

  test("pulled, saved, loaded, pushed and pulled again, an image is what it was, in every attribute of its files", async () => {
    /** All that GNU tar sees of the layers, but times of access; whiteouts (character devices) have no times of their own. */
    const files = async () => {
      const find = "find */diff ! -type c -print0 | sort -z";
      const archive =
        "tar --create --null --no-recursion --files-from=- --xattrs --xattrs-include='*' --pax-option=delete=atime,delete=ctime";
      const script = `cd "$1" && ${find} | ${archive} | sha256sum`;
      return await host.must("unshare", "sh", "-c", script, "sh", join(host.dataDir, "layers"));
    };
    const registry = await startRegistry();
    try {
      await registry.push(at("layout"), "team/pulled:1");
      const [first, second] = [`${registry.host}/team/pulled`, `${registry.host}/team/pushed`];
      await host.must("pull", "-q", `${first}:1`);
      await host.must("save", "--format", "oci-archive", "-o", at("r.tar"), `${first}:1`);
      const [before, seen] = [await inspect(`${first}:1`), await files()];
      expect(before.Id).toBe(made.configs[0]!.digest);
      await clear();
      await host.must("load", "-i", at("r.tar"));
      expect(await files()).toBe(seen);
      await host.must("tag", `${first}:1`, `${second}:1`);
      await host.must("push", "-q", `${second}:1`);
      await clear();
      await host.must("pull", "-q", `${second}:1`);
      expect(await inspect(`${second}:1`)).toEqual({
        ...before,
        RepoTags: [`${second}:1`],
        RepoDigests: [`${second}@${made.manifests[0]!.digest}`],
      });
      expect(await files()).toBe(seen);
      await clear();
      await host.must("tag", await loadLayout("layout"), "team/app:1");
    } finally {
      await registry.stop();
    }
  });

  test("skopeo, umoci and podman read an OCI archive", async () => {
    const name = "docker.io/team/app:1";
    const seen = JSON.parse(await skopeo(host, "inspect", `oci-archive:a.tar:${name}`));
    expect(seen.Digest).toBe(made.manifests[0]!.digest);
    mkdirSync(at("unpacked"));
    await run(["tar", "-xf", "a.tar", "-C", "unpacked"], { cwd: host.work });
    await run(["umoci", "unpack", "--rootless", "--image", `unpacked:${name}`, "bundle"], {
      cwd: host.work,
      env: host.env,
    });
    expect(readdirSync(at("bundle/rootfs/etc")).sort()).toEqual(["caps", "link", "secret"]);
    expect(await podman(host, "load", "-q", "-i", "a.tar")).toBe(`Loaded image: ${name}`);
  });

  test("oci-image-tool finds nothing wrong with the layout", async () => {
    mkdirSync(at("layout-of-save"));
    await host.must("save", "--format", "oci-archive", "-o", at("both.tar"), "team/app:1", "starter");
    await run(["tar", "-xf", "both.tar", "-C", "layout-of-save"], { cwd: host.work });
    // of tar files this version of it can read none, nor skopeo's: "end of walk"
    const said = await run(["oci-image-tool", "validate", "--type", "image", "layout-of-save"], { cwd: host.work });
    expect(said).toContain("Validation succeeded");
  });

  test("a Docker archive has plain layers, and skopeo and podman read it with its names", async () => {
    await host.must("tag", "team/app:1", "other");
    await host.must("save", "-o", at("d.tar"), "team/app:1", "other:latest");
    const list = (await run(["tar", "-tf", "d.tar"], { cwd: host.work })).split("\n");
    const { RootFS, Id } = await inspect("other");
    const hex = (digest: string) => digest.slice("sha256:".length);
    expect(list).toEqual(["manifest.json", `${hex(Id)}.json`, ...RootFS.Layers.map((id: string) => `${hex(id)}.tar`)]);
    await skopeo(host, "inspect", "docker-archive:d.tar:team/app:1");
    const loaded = await podman(host, "load", "-q", "-i", "d.tar");
    expect(loaded.split("\n").toSorted()).toEqual([
      "Loaded image: docker.io/library/other:latest",
      "Loaded image: docker.io/team/app:1",
    ]);
    expect(await podman(host, "image", "inspect", "-f", "{{.Id}}", "docker.io/team/app:1")).toBe(hex(Id));
  });

  test("a Docker archive keeps ids and files, from stdin plain, gzip, zstd, bzip2 or xz", async () => {
    const { Id } = await inspect("other");
    const plain = readFileSync(at("d.tar"));
    for (const stdin of [
      plain,
      Bun.gzipSync(plain),
      Bun.zstdCompressSync(plain),
      compressed("bzip2", plain),
      compressed("xz", plain),
    ]) {
      await clear();
      const { stdout, stderr } = await host.podWith({ stdin }, "load");
      expect({ stdout, stderr }).toEqual({
        stdout: "Loaded image: team/app:1\nLoaded image: other:latest\n",
        stderr: "",
      });
      expect((await inspect("other")).Id).toBe(Id);
    }
    expect(await host.must(...quietRun, "other", "cat", "/etc/caps")).toBe("c");
    expect(await host.must("load", "-q", "-i", at("a.tar"))).toBe("Loaded image: team/app:1");
  });

  test("what podman and skopeo save is loaded with their names", async () => {
    const { Id } = await inspect("other");
    await podman(host, "save", "-q", "-m", "-o", "p.tar", "docker.io/library/other", "docker.io/team/app:1");
    await podman(host, "save", "-q", "--format", "oci-archive", "-o", "po.tar", "docker.io/library/other");
    await skopeo(host, "copy", "-q", "oci-archive:a.tar", "docker-archive:s.tar:by/skopeo:2");
    await skopeo(host, "copy", "-q", "oci-archive:a.tar", "oci:so:by/skopeo:3");
    await clear();
    expect((await host.must("load", "-i", at("p.tar"))).split("\n").toSorted()).toEqual([
      "Loaded image: other:latest",
      "Loaded image: team/app:1",
    ]);
    expect(await host.must("load", "-i", at("s.tar"))).toBe("Loaded image: by/skopeo:2");
    expect(await host.must("load", "-i", at("so"))).toBe("Loaded image: by/skopeo:3");
    for (const name of ["other", "team/app:1", "by/skopeo:2", "by/skopeo:3"]) expect((await inspect(name)).Id).toBe(Id);
    await clear();
    expect(await host.must("load", "-i", at("po.tar"))).toBe("Loaded image: other:latest"); // podman rewrites the configuration: its id is another
  });

  test("a repository without a tag saves all its tags; an id saves no name", async () => {
    await host.must("tag", "other", "other:2");
    const names = async (name: string) => {
      const { bytes } = await host.pod("save", name);
      writeFileSync(at("n.tar"), bytes);
      return JSON.parse(await run(["tar", "-xOf", "n.tar", "manifest.json"], { cwd: host.work }))[0].RepoTags;
    };
    expect(await names("other")).toEqual(["docker.io/library/other:latest", "docker.io/library/other:2"]);
    expect(await names("other:2")).toEqual(["docker.io/library/other:2"]);
    expect(await names((await inspect("other")).Id)).toBeNull();
  });

  test("a name that another image has changes hands, and load says so", async () => {
    await clear();
    layout("second", { Env: ["A=2"] });
    const second = await loadLayout("second");
    await host.must("tag", second, "team/app:1");
    expect((await host.must("load", "-i", at("a.tar"))).split("\n")).toEqual([
      `The image team/app:1 already exists, renaming the old one with ID ${second} to empty string`,
      "Loaded image: team/app:1",
    ]);
    expect(await host.must("images", "-q", "--no-trunc", "--filter", "dangling=true")).toBe(second);
  });

  test("127 layers are loaded and run; with one more it is said how many may be", async () => {
    const many = (count: number) => {
      const extra = Array.from({ length: count - 1 }, (_, index) => tar(file(`f${index}`, String(index))));
      writeLayout(at(`many${count}`), [{ layers: [tar(...shell()), ...extra] }]);
      return at(`many${count}`);
    };
    const id = /ID: (\S+)/.exec(await host.must("load", "-i", many(127)))![1]!;
    expect(await host.must(...quietRun, id, "cat", "/f0", "/f125")).toBe("0125");
    const { code, stderr } = await host.pod("load", "-i", many(128));
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `pod: load ${at("many128")}: max depth exceeded: 128 layers\nhint: at most 127 layers are possible\n`,
    });
    await host.must("rmi", id);
  });

  /** Changes a copy of the good layout. */
  const broken = (change: (dir: string) => void) => async () => {
    cpSync(at("layout"), at("broken"), { recursive: true });
    change(at("broken"));
    await run(["tar", "-cf", "broken.tar", "-C", "broken", "."], { cwd: host.work });
    rmSync(at("broken"), { recursive: true });
    return readFileSync(at("broken.tar"));
  };
  const blobOf = (dir: string, digest: string) => join(dir, "blobs", digest.replace(":", "/"));
  const changeIndex = (dir: string, change: (manifests: object[]) => object[]) => {
    const index = JSON.parse(readFileSync(join(dir, "index.json"), "utf8"));
    writeFileSync(join(dir, "index.json"), JSON.stringify({ ...index, manifests: change(index.manifests) }));
  };
  const named = (name: string) => ({ annotations: { "org.opencontainers.image.ref.name": name } });
  const docker = (entries: object[]) => async () => {
    mkdirSync(at("docker"));
    writeFileSync(at("docker/manifest.json"), JSON.stringify(entries));
    writeFileSync(at("docker/l.tar"), tar(file("a", "1")));
    for (const number of [1, 2]) {
      const rootfs = { type: "layers", diff_ids: [`sha256:${String(number).repeat(64)}`] };
      writeFileSync(at(`docker/c${number}.json`), JSON.stringify({ os: "linux", architecture: "amd64", rootfs }));
    }
    await run(["tar", "-cf", "docker.tar", "-C", "docker", "."], { cwd: host.work });
    rmSync(at("docker"), { recursive: true });
    return readFileSync(at("docker.tar"));
  };
  const entry = (config: string, name: string | null, ...layerNames: string[]) => ({
    Config: config,
    RepoTags: name && [name],
    Layers: layerNames,
  });
  const layerDigest = () =>
    JSON.parse(readFileSync(blobOf(at("layout"), made.manifests[0]!.digest), "utf8")).layers[1].digest;

  const bad: [string, () => Promise<Uint8Array> | Uint8Array, string | RegExp][] = [
    ["nothing at all", () => new Uint8Array(), "it is no image archive: it has neither index.json nor manifest.json"],
    ["a text", () => Buffer.from("hello\n"), "the archive is cut short"],
    ["the tar of a root file system", () => tar(file("etc/passwd", "x")), "it is no image archive"],
    ["a cut archive", () => readFileSync(at("a.tar")).subarray(0, 200_000), "the archive is cut short"],
    [
      "a cut gzip",
      () => Bun.gzipSync(readFileSync(at("a.tar"))).subarray(0, 200_000),
      "the gzip data is damaged or cut short",
    ],
    [
      "a cut xz",
      () => compressed("xz", readFileSync(at("a.tar"))).subarray(0, -100),
      "the xz data is damaged or cut short",
    ],
    [
      "a damaged bzip2",
      () => compressed("bzip2", readFileSync(at("a.tar"))).fill(0, 100_000, 100_100),
      "the bzip2 data is damaged or cut short",
    ],
    ["a missing blob", broken((dir) => rmSync(blobOf(dir, layerDigest()))), /it lacks the blob sha256:/],
    [
      "a changed blob",
      broken((dir) => writeFileSync(blobOf(dir, layerDigest()), "x")),
      /blob sha256:\S+ is damaged: its bytes have the digest/,
    ],
    ["an index that is no JSON", broken((dir) => writeFileSync(join(dir, "index.json"), "{")), "is not a JSON object"],
    ["an empty index", broken((dir) => changeIndex(dir, () => [])), "there is no image in it"],
    [
      "two images of one name",
      broken((dir) => {
        const other = layout("other-layout", { Env: ["B=1"] });
        cpSync(at("other-layout/blobs"), join(dir, "blobs"), { recursive: true });
        changeIndex(dir, ([first]) =>
          [first!, other.descriptor].map((each) => ({ ...each, platform: undefined, ...named("a/b:1") })),
        );
      }),
      /it has 2 images of the name docker\.io\/a\/b:1: sha256:\S+, sha256:/,
    ],
    [
      "a name that can be none",
      broken((dir) => changeIndex(dir, ([first]) => [{ ...first, ...named("a/B:1") }])),
      'the name "a/B:1": invalid reference format: repository name (a/B) must be lowercase',
    ],
    [
      "an annotation that is no text",
      broken((dir) => changeIndex(dir, ([first]) => [{ ...first, annotations: { "io.containerd.image.name": 5 } }])),
      "is not in the form of the OCI image spec",
    ],
    [
      "a Docker archive that lacks a layer",
      docker([entry("c1.json", null, "nosuch.tar")]),
      "it lacks nosuch.tar, which its manifest.json names",
    ],
    [
      "a Docker archive whose configuration lies about its layer",
      docker([entry("c1.json", null, "l.tar")]),
      /extract layer sha256:1{64}: its content has the digest sha256:/,
    ],
    [
      "a Docker archive with more layers than its configuration",
      docker([entry("c1.json", null, "l.tar", "l.tar")]),
      "does not name the diffIds of its 2 layers",
    ],
    [
      "a Docker archive with two images of one tag",
      docker([entry("c1.json", "a:1", "l.tar"), entry("c2.json", "a:1", "l.tar")]),
      "it has 2 images of the name docker.io/library/a:1",
    ],
    [
      "a manifest.json of another form",
      docker([{ Config: 1 }]),
      "its manifest.json is not in the form that docker save writes",
    ],
  ];
  for (const [what, make, words] of bad) {
    test(`${what} is refused, and leaves nothing`, async () => {
      const before = [blobs(), readdirSync(join(host.dataDir, "layers")), await host.must("images", "-a")];
      const { code, stdout, stderr } = await host.podWith({ stdin: await make() }, "load");
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toStartWith("pod: load stdin: ");
      if (typeof words === "string") expect(stderr).toContain(words);
      else expect(stderr).toMatch(words);
      expect([blobs(), readdirSync(join(host.dataDir, "layers")), await host.must("images", "-a")]).toEqual(before);
      expect(readdirSync(join(host.dataDir, "tmp"))).toEqual([]);
    });
  }

  test("save takes away what a killed one has left of its file", async () => {
    mkdirSync(at("saved"));
    const [left, other] = [".i.tar.999999-1-0123abcd-m1-1", ".i.tar.notes"];
    for (const name of [left, other]) writeFileSync(at(`saved/${name}`), "");
    await host.must("save", "-o", at("saved/i.tar"), "team/app:1");
    expect(readdirSync(at("saved")).sort()).toEqual([other, "i.tar"]);
  });

  test("a terminal is no place for archives", async () => {
    for (const [command, words] of [
      ["save", "cowardly refusing to save to a terminal. Use the -o flag or redirect"],
      ["load", "requested load from stdin, but stdin is empty"],
    ] as const) {
      const session = host.session(command, ...(command === "save" ? ["team/app:1"] : []));
      await session.waitFor(words);
      expect(await session.exit()).toBe(1);
    }
  });

  test("an output that can't be written is named, and a failed save leaves no file", async () => {
    const missing = await host.pod("save", "-o", at("no/such.tar"), "team/app:1");
    expect(missing).toMatchObject({
      code: 1,
      stderr: `pod: failed to save image: invalid output path: directory ${JSON.stringify(at("no"))} does not exist\n`,
    });
    const before = readdirSync(host.work);
    const unknown = await host.pod("save", "-o", at("x.tar"), "nosuch");
    expect(unknown).toMatchObject({ code: 1, stderr: "pod: No such image: nosuch:latest\n" });
    expect(readdirSync(host.work)).toEqual(before);
    expect((await host.pod("save", "--format", "zip", "team/app:1")).code).toBe(125);
  });
});
