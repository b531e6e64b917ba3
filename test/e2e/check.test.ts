import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { onBothDrivers } from "./harness.ts";
import { publish } from "./images.ts";

onBothDrivers("system check", (host) => {
  let registry: TestRegistry;
  let image: string;
  beforeAll(async () => {
    registry = await startRegistry();
    const layers: Record<string, string>[] = [
      { "etc/motd": "hello\n", "etc/other": "x" },
      { "etc/.wh.other": "", "etc/top": "y" },
    ];
    image = await publish(registry, "team/app:1", { layers });
  });
  afterAll(() => registry.stop());
  beforeEach(async () => void (await host.must("pull", "-q", image)));

  const check = async (...options: string[]) => await host.pod("system", "check", ...options);
  const blob = (digest: string) => join(host.dataDir, "blobs", digest.replace(":", "/"));
  const manifest = async () => {
    const digest = (await host.must("images", "--digests", "--format", "{{.Digest}}", image)) as string;
    return { digest, ...JSON.parse(readFileSync(blob(digest), "utf8")) };
  };
  const folderWith = (file: string) =>
    readdirSync(join(host.dataDir, "layers"))
      .map((name) => join(host.dataDir, "layers", name))
      .find((folder) => existsSync(join(folder, "diff", file)))!;
  const inside = (script: string) => host.must("unshare", "sh", "-c", script);
  const isMended = async () => {
    expect(await check()).toMatchObject({ code: 0, stdout: expect.stringMatching(/: all is well\n$/) });
    expect(await host.must("run", "--rm", "--network", "none", image, "cat", "/etc/motd")).toBe("hello");
  };

  test("a whole store is well", async () => {
    expect(await check()).toMatchObject({
      code: 0,
      stdout: "Checked 1 images, 3 layers, 0 containers, 0 volumes: all is well\n",
      stderr: "",
    });
  });

  const damages: [string, (folder: string) => Promise<unknown> | unknown, string][] = [
    ["a missing file", (f) => inside(`rm ${f}/diff/etc/motd`), "etc/motd is missing"],
    ["no layer.json", (f) => inside(`rm ${f}/layer.*`), "its layer.json is wrong or missing"],
    ["no folder", (f) => inside(`rm -r ${f}`), "it is missing"],
  ];
  for (const [name, damage, words] of damages) {
    test(`a layer with ${name} is told, and extracted again`, async () => {
      await damage(folderWith("etc/motd"));
      const { code, stdout } = await check();
      expect(code).toBe(1);
      expect(stdout).toContain(words);
      expect(stdout).toMatch(/^layer sha256:[0-9a-f]{64}: .*\n {2}remedy: `pod system check --repair`/m);
      const repaired = await check("--repair");
      expect(repaired).toMatchObject({
        code: 0,
        stdout: expect.stringContaining("  repaired: extracted again from blob sha256:"),
      });
      await isMended();
    });
  }

  test("a lost link and a lost name of a container are made again", async () => {
    await host.must("run", "--name", "named", "--network", "none", image, "true");
    const links = join(host.dataDir, "l");
    rmSync(join(links, readdirSync(links)[0]!));
    rmSync(join(host.dataDir, "names/named"));
    expect((await check()).stdout).toMatch(/its link .* is missing[\s\S]*container named: nobody finds it by its name/);
    expect((await check("--repair")).code).toBe(0);
    await host.must("rm", "named");
    await isMended();
  });

  test("a damaged layer blob is removed, the image still runs, and a pull brings the blob again", async () => {
    const { layers } = await manifest();
    const path = blob(layers[1].digest);
    writeFileSync(path, Buffer.alloc(statSync(path).size));
    const { code, stdout } = await check("--repair");
    expect(code).toBe(1);
    expect(stdout).toContain(`blob ${layers[1].digest}: its bytes have the digest sha256:`);
    expect(stdout).toContain(`image ${image}: it runs, but the blob ${layers[1].digest} of a layer is missing`);
    expect(stdout).toContain(`  remedy: \`pod pull ${image}\` brings it again\n`);
    expect(await host.must("run", "--rm", "--network", "none", image, "cat", "/etc/motd")).toBe("hello");
    await host.must("pull", "-q", image);
    await isMended();
  });

  test("an image without its config or manifest, or with a layer that nothing brings back, is dropped by its name", async () => {
    const { digest, config, layers } = await manifest();
    for (const loses of [
      () => truncateSync(blob(config.digest), 10),
      () => rmSync(blob(digest)),
      () => inside(`rm -r ${folderWith("etc/motd")} ${blob(layers[1].digest)}`),
    ]) {
      await loses();
      expect(await check()).toMatchObject({ code: 1, stdout: expect.stringContaining(`image ${image}: its `) });
      const { stdout } = await check("--repair");
      expect(stdout).toContain("repaired: it can't be rebuilt: dropped from the index");
      expect((await check()).code).toBe(0);
      expect(await host.must("images", "-q")).toBe("");
      await host.must("pull", "-q", image);
    }
    await isMended();
  });

  test("a damaged index is made again, without names", async () => {
    appendFileSync(join(host.dataDir, "index.json"), "x");
    expect(await check()).toMatchObject({ code: 1, stdout: expect.stringContaining("index.json: ") });
    expect((await check("--repair")).stdout).toContain("made again, with 1 images that have lost their names");
    await host.must("pull", "-q", image);
    await isMended();
  });

  test("a container's damaged record is told with its place, and nothing is collected meanwhile", async () => {
    await host.must("run", "--name", "broken", "--network", "none", image, "true");
    const [id] = readdirSync(join(host.dataDir, "containers"));
    const record = join(host.dataDir, "containers", id!, "container.json");
    const text = readFileSync(record, "utf8");
    writeFileSync(record, "{");
    expect(await check()).toMatchObject({ code: 1, stdout: expect.stringContaining(`containers/${id}/upper`) });
    expect((await host.pod("image", "prune", "-af")).code).toBe(1);
    writeFileSync(record, text);
    await host.must("rm", "broken");
    await isMended();
  });
});
