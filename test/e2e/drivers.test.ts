/** What storage drivers do themselves: how layers become one tree, and what that takes on disk. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, rmSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { file, folder, hardLink, symlink } from "../storage/archive.ts";
import { pushImage, shell } from "./crafted.ts";
import { type Driver, type Host, newHost, onAllDrivers, quietRun, requires } from "./harness.ts";

const layers = [
  [
    ...shell(),
    folder("etc"),
    folder("a", { mode: 0o1777, mtime: 1_500_000_000 }),
    file("a/gone"),
    file("a/kept", "1"),
    folder("hidden"),
    file("hidden/old"),
    folder("becomes-file"),
    file("becomes-file/in"),
    file("becomes-folder", "x"),
    folder("way"),
    symlink("to-way", "way"),
  ],
  [
    file("a/.wh.gone"),
    folder("hidden", { mode: 0o700, uid: 7, gid: 8, mtime: 1_400_000_000 }),
    file("hidden/.wh..wh..opq"),
    file("hidden/new", "2"),
    file("becomes-file", "3"),
    folder("becomes-folder"),
    file("becomes-folder/in", "4", { mode: 0o4755, uid: 5 }),
    hardLink("linked", "a/kept"),
  ],
  [file("to-way/through", "5"), file("a/again", "6"), hardLink("a/again-too", "a/again")],
];
const shown = `a directory 1777 0:0
a/again regular file 644 0:0 2
a/again-too regular file 644 0:0 2
a/kept regular file 644 0:0 2
becomes-file regular file 644 0:0 1
becomes-folder directory 755 0:0
becomes-folder/in regular file 4755 5:0 1
hidden directory 700 7:8
hidden/new regular file 644 0:0 1
linked regular file 644 0:0 2
to-way symbolic link 777 0:0 1
way directory 755 0:0
way/through regular file 644 0:0 1`;
const look = `b=/bin/busybox; cd /; for f in $($b find a becomes* hidden linked to-way way | $b sort); do
  [ -d $f ] && [ ! -L $f ] && links= || links=' %h'; $b stat -c "%n %F %a %u:%g$links" $f; done`;

onAllDrivers("a tree of layers", (host, driver) => {
  let registry: TestRegistry;
  let image: string;
  beforeAll(async () => {
    registry = await startRegistry();
    image = await pushImage(registry, "tree", layers);
  });
  afterAll(() => registry.stop());

  test("shows what each changes of those below it, with all attributes, in and out of a container", async () => {
    expect(await host.must(...quietRun, image, "sh", "-c", look)).toBe(shown);
    const script = "cat hidden/new becomes-file way/through to-way/through a/again-too; echo new >/kept";
    await host.must("create", "--name", "one", "--network", "none", image, "sh", "-c", script);
    const exported = async () => listing((await host.pod("export", "one")).bytes);
    const before = await exported();
    expect(await host.must("diff", "one")).toBe("");
    expect(await host.must("start", "-a", "one")).toBe("23556");
    expect(await exported()).toEqual(before);
    expect(await host.must("diff", "one")).toBe("A /kept");
    await host.must("rm", "one");
  });

  test("info names the driver, and why it was chosen", async () => {
    const told = JSON.parse(await host.must("info", "--format", "json"));
    expect(told.Driver).toBe(driver);
    const { Driver, DriverReason, DriverMissing } = await autoInfo(host);
    if (driver === Driver) expect([told.DriverReason, told.DriverMissing]).toEqual([DriverReason, DriverMissing]);
    else expect(told.DriverReason).toBe("asked for by STORAGE_DRIVER");
    if (driver === "overlay") expect(DriverMissing).toBeUndefined();
    expect(await host.must("info")).toContain(` Storage Driver: ${driver}\n  Reason: ${told.DriverReason}\n`);
    await host.must("run", "--name", "kept", "--network", "none", "starter", "true");
    expect(await host.must("inspect", "-f", "{{.Driver}} {{.GraphDriver.Name}}", "kept")).toBe(`${driver} ${driver}`);
    await host.must("rm", "kept");
  });
});

async function autoInfo(host: Host) {
  const { stdout } = await host.podWith({ env: { STORAGE_DRIVER: "auto" } }, "info", "--format", "json");
  return JSON.parse(stdout);
}

/** What tar(1) tells of an archive's files, but for what pod makes at the start. */
function listing(archive: Buffer): string[] {
  const { stdout } = Bun.spawnSync(["tar", "--list", "--verbose", "--numeric-owner"], { stdin: archive });
  return stdout
    .toString()
    .split("\n")
    .filter((line) => !/ (dev|proc|sys|etc)\/| kept$/.test(line));
}

requires("btrfs").describe("on btrfs", () => {
  const megabytes = 32;
  const hosts: Host[] = [];
  const open = async (driver: Driver) => {
    const host = await newHost({ driver, onBtrfs: true });
    hosts.push(host);
    return host;
  };
  afterAll(() => Promise.all(hosts.map((host) => host.close())), 60_000);

  /** Runs `action` and tells how many MB of the file system it took. */
  async function taken(host: Host, action: () => Promise<unknown>): Promise<number> {
    const used = () => {
      Bun.spawnSync(["sync", "--file-system", host.base]);
      const { blocks, bfree, bsize } = statfsSync(host.base);
      return ((blocks - bfree) * bsize) / 1e6;
    };
    const before = used();
    await action();
    return used() - before;
  }

  async function withBigImage(driver: Driver): Promise<Host> {
    const host = await open(driver);
    await host.must(
      "run",
      "--name",
      "big",
      "--network",
      "none",
      "starter",
      "sh",
      "-c",
      `head -c ${megabytes}m /dev/urandom >/big`,
    );
    await host.must("commit", "big", "big:1");
    await host.must("rm", "big");
    return host;
  }

  test("the driver btrfs makes a subvolume of each layer and a snapshot of it for a container, which share their blocks", async () => {
    const host = await withBigImage("btrfs");
    const run = () => host.must("run", "--name", "user", "--network", "none", "big:1", "sh", "-c", "echo 1 >/one");
    expect(await taken(host, run)).toBeLessThan(megabytes / 2);
    const trees = ["layers", "containers"].flatMap((kind) =>
      readdirSync(join(host.dataDir, kind)).map((name) => join(host.dataDir, kind, name, "tree")),
    );
    expect(trees.map((tree) => statSync(tree).ino)).toEqual([256, 256, 256]); // <linux/btrfs_tree.h>: BTRFS_FIRST_FREE_OBJECTID
    const { Size } = JSON.parse((await host.must("system", "df", "--format", "json")).split("\n")[0]!);
    expect(Number.parseFloat(Size)).toBeLessThan(2.5 * megabytes); // the blob and the layer
    expect(await host.must("ps", "-as", "--format", "{{.Size}}")).toMatch(/^\d(\.\d+)?kB \(virtual 3\d(\.\d+)?MB\)$/);
    await host.must("rm", "user");
    await host.must("rmi", "big:1", "starter");
    for (const kind of ["layers", "containers"]) expect(readdirSync(join(host.dataDir, kind))).toEqual([]);
  });

  test("the driver vfs gives each container a copy of its own, which shares its blocks where the file system can", async () => {
    const host = await withBigImage("vfs");
    const run = () => host.must("run", "--name", "user", "--network", "none", "big:1", "sh", "-c", "echo 1 >/bin/new");
    expect(await taken(host, run)).toBeLessThan(megabytes / 2);
    expect(await host.must("diff", "user")).toBe("C /bin\nA /bin/new");
  });

  test("a layer that was mended is in the trees of those above it too", async () => {
    const host = await withBigImage("btrfs");
    const run = () => host.pod(...quietRun, "big:1", "sh", "-c", "cat /etc/passwd | wc -l; test -e /big && echo big");
    const good = await run();
    const layer = readdirSync(join(host.dataDir, "layers")).find((name) =>
      readdirSync(join(host.dataDir, "layers", name, "diff")).includes("etc"),
    )!;
    rmSync(join(host.dataDir, "layers", layer, "diff/etc/passwd"));
    for (const name of readdirSync(join(host.dataDir, "layers"))) {
      await host.must("unshare", "rm", join(host.dataDir, "layers", name, "tree/etc/passwd"));
    }
    expect((await run()).stdout).not.toBe(good.stdout);
    const repaired = await host.pod("system", "check", "--repair");
    expect(repaired).toMatchObject({ code: 0, stdout: expect.stringContaining("  repaired: extracted again") });
    expect(await run()).toEqual(good);
  });
});

test("the driver btrfs on another file system is an error that says so", async () => {
  const host = await newHost();
  const { code, stderr } = await host.pod(...quietRun, "--storage-driver", "btrfs", "starter", "true");
  expect(code).toBe(125);
  expect(stderr).toContain("the storage driver btrfs needs a store on btrfs");
  expect(stderr).toContain("hint: try --storage-driver auto\n");
  expect(await host.must("ps", "-aq")).toBe("");
  await host.close();
});
