import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { file, folder, hardLink, symlink } from "../storage/archive.ts";
import { pushImage, shell } from "./crafted.ts";
import { onBothDrivers, quietRun } from "./harness.ts";
import { randomNumbers, seed } from "./random.ts";

const manyFiles = 3_000;
const xattr = { "SCHILY.xattr.user.note": "kept" };

onBothDrivers("what an image has where a volume is mounted", (host) => {
  let registry: TestRegistry;
  let image: string;
  let many: string;
  const volume = (name: string) => join(host.dataDir, "volumes", name);
  /** In a container whose image has busybox. */
  const output = async (script: string, ...options: string[]) =>
    await host.must(...quietRun, ...options, "starter", "sh", "-c", script);
  const run = (...args: string[]) => host.must(...quietRun, ...args);

  beforeAll(async () => {
    registry = await startRegistry();
    const content = [
      folder("data", { uid: 7, gid: 8, mode: 0o2750 }),
      file("data/plain", "text\n", { uid: 1000, gid: 1001, mode: 0o4755, pax: xattr }),
      hardLink("data/again", "data/plain"),
      symlink("data/link", "plain"),
      folder("data/deep/er", { mode: 0o700 }),
      file("data/deep/er/file", "deep\n"),
      { name: "data/pipe", type: "6", mode: 0o600 },
      symlink("alias", "data"),
      symlink("out", "/../../data/deep"),
      file("not-a-folder", "x"),
    ];
    image = await pushImage(registry, "content", [shell(), content], {
      config: { Cmd: ["sh"], Volumes: { "/data": {} } },
    });
    const files = Array.from({ length: manyFiles }, (_, index) => file(`many/${index % 100}/${index}`, `${index}\n`));
    many = await pushImage(registry, "many", [shell(), [folder("many", { mode: 0o700 }), ...files]], {
      config: { Cmd: ["sh"] },
    });
    for (const each of [image, many, "starter"]) await host.must("pull", "-q", each);
  });
  afterAll(() => registry.stop());

  test("comes with owners, modes, links and attributes, and the volume has the folder's own", async () => {
    await run("-v", "full:/data", image, "echo");
    const script =
      "cd /v; stat -c '%n %a %u %g %h' . plain again deep/er; readlink link; cat deep/er/file; test -p pipe && echo pipe";
    expect((await output(script, "-v", "full:/v")).split("\n")).toEqual([
      ". 2750 7 8 3",
      "plain 4755 1000 1001 2",
      "again 4755 1000 1001 2",
      "deep/er 700 0 0 2",
      "plain",
      "deep",
      "pipe",
    ]);
    const path = join(volume("full"), "_data/plain");
    expect(await host.must("unshare", "getfattr", "--only-values", "-n", "user.note", path)).toBe("kept");
    await host.must("volume", "rm", "full");
  });

  test("comes to anonymous volumes and to VOLUME too, not with nocopy, and not to a folder of the host", async () => {
    expect(await run(image, "ls", "/data")).toBe("again\ndeep\nlink\npipe\nplain");
    expect(await run("-v", "/data", image, "ls", "/data")).toBe("again\ndeep\nlink\npipe\nplain");
    expect(await run("-v", "none:/data:nocopy", image, "ls", "/data")).toBe("");
    expect(await run("--mount", "src=none,dst=/data,volume-nocopy", image, "ls", "/data")).toBe("");
    expect(await run("-v", "./empty:/data", image, "ls", "/data")).toBe("");
    await host.must("volume", "rm", "none");
  });

  test("comes only to an empty volume, and only before the first start", async () => {
    await output("echo mine > /v/mine", "-v", "used:/v");
    expect(await run("-v", "used:/data", image, "ls", "/data")).toBe("mine");
    await host.must("create", "--network", "none", "--name", "again", "-v", "fresh:/data", image, "ls", "/data");
    expect(await host.must("start", "-a", "again")).toContain("plain");
    await output("rm -rf /v/*", "-v", "fresh:/v");
    expect(await host.must("start", "-a", "again")).toBe("");
    await host.must("rm", "again");
    await host.must("volume", "rm", "used", "fresh");
  });

  test("comes before cp puts something there", async () => {
    await host.must("create", "--network", "none", "--name", "early", "-v", "v1:/data", image, "ls", "/data");
    await Bun.write(join(host.work, "added"), "x");
    await host.must("cp", "-q", "added", "early:/data/added");
    expect(await host.must("start", "-a", "early")).toBe("added\nagain\ndeep\nlink\npipe\nplain");
    await host.must("cp", "-q", "early:/data/added", "back");
    await host.must("rm", "early");
    await host.must("volume", "rm", "v1");
  });

  test("a destination's symlinks stay in the image", async () => {
    expect(await run("-v", "v1:/alias", image, "ls", "/data")).toContain("plain");
    expect(await run("-v", "v2:/out", image, "cat", "/data/deep/er/file")).toBe("deep");
    expect(await output("ls /v", "-v", "v2:/v")).toBe("er");
    const over = await host.pod(...quietRun, "-v", "v3:/not-a-folder", image, "echo");
    expect(over).toMatchObject({ code: 127, stderr: expect.stringContaining("the source is a directory") });
    await host.must("volume", "rm", "v1", "v2", "v3");
  });

  test(`${manyFiles} files, and others that come meanwhile wait for all of them`, async () => {
    const counts = await Promise.all(
      [1, 2, 3].map(() =>
        host.podWith(
          { timeoutSeconds: 60 },
          ...quietRun,
          "-v",
          "big:/many",
          many,
          "sh",
          "-c",
          "set -- /many/*/*; echo $#",
        ),
      ),
    );
    expect(counts.map(({ stdout, stderr }) => stdout + stderr)).toEqual(Array(3).fill(`${manyFiles}\n`));
    expect(await output("stat -c %a /v; cat /v/42/2942", "-v", "big:/v")).toBe("700\n2942");
    expect(readdirSync(volume("big")).toSorted()).toEqual(["_data", "volume.json"]);
    await host.must("volume", "rm", "big");
  });

  test(`a kill at any moment leaves nothing half done, seed ${seed}`, async () => {
    const next = randomNumbers(seed);
    const command = [...quietRun, "-v", "cut:/many", many, "sh", "-c", "set -- /many/*/*; echo $#"];
    const start = performance.now();
    await host.must(...command);
    const usualMs = performance.now() - start;
    for (let round = 0; round < 3; round++) {
      await host.must("volume", "rm", "-f", "cut");
      const child = host.spawn(...command);
      await Bun.sleep(next() * usualMs);
      for (const pid of [child.pid, ...host.processes()]) tryKill(pid);
      await child.exited;
      expect(await host.must(...command)).toBe(String(manyFiles));
      expect(readdirSync(volume("cut")).toSorted()).toEqual(["_data", "volume.json"]);
    }
    await host.must("volume", "rm", "cut");
    expect(await host.must("ps", "-aq")).toBe("");
    expect(readdirSync(join(host.dataDir, "tmp"))).toEqual([]);
    expect(await host.must("system", "check")).toContain("all is well");
  }, 120_000);
});

function tryKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {} // it has ended
}
