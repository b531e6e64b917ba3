import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { onAllDrivers } from "./harness.ts";
import { publish } from "./images.ts";

const otherBoot = "00000000-0000-4000-8000-000000000000";
const note = /^pod: extracting 2 layers again that were not on disk when the machine stopped\n/;

/** What a power cut does to files that nobody has synced is faked: that such layers carry the id of another boot is all that pod goes by. */
onAllDrivers("a power cut", (host) => {
  let registry: TestRegistry;
  let image: string;
  beforeAll(async () => {
    registry = await startRegistry();
    const layers: Record<string, string>[] = [{ "etc/motd": "hello\n" }, { "etc/top": "y\n" }];
    image = await publish(registry, "team/app:1", { layers });
  });
  afterAll(() => registry.stop());
  beforeEach(async () => {
    await host.pod("rm", "-f", "there");
    await host.must("pull", "-q", image);
  });

  const layersDir = () => join(host.dataDir, "layers");
  const folders = () => readdirSync(layersDir()).map((name) => join(layersDir(), name));
  const records = () =>
    folders().map((folder) => readdirSync(folder).find((name) => /^layer\..*json$/.test(name)) ?? "none");
  const areSynced = async () => {
    for (let i = 0; i < 200 && !records().every((name) => name === "layer.json"); i++) await Bun.sleep(50);
    expect(records().every((name) => name === "layer.json")).toBe(true);
  };
  /** After it, layers with this file are as if extracted in another boot, and the file was never written. */
  const cutPower = async (...files: string[]) => {
    await areSynced();
    for (const folder of folders()) {
      const file = files.map((name) => join(folder, "diff", name)).find(existsSync);
      if (!file) continue;
      await host.must("unshare", "truncate", "-s", "0", file);
      renameSync(join(folder, "layer.json"), join(folder, `layer.${otherBoot}.json`));
    }
    writeFileSync(join(host.dataDir, "boot"), otherBoot);
  };
  /** As a command leaves them, or a `pod sync` that was killed. */
  const makeUnsynced = async () => {
    await areSynced();
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    for (const folder of folders()) renameSync(join(folder, "layer.json"), join(folder, `layer.${boot}.json`));
  };
  const isWell = async () =>
    expect(await host.pod("system", "check")).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("all is well"),
    });

  test("a layer is recorded as synced soon after the pull, and no process stays", async () => {
    await areSynced();
    for (let i = 0; i < 100 && host.processes().length; i++) await Bun.sleep(50);
    expect(host.processes()).toEqual([]);
  });

  test("what a killed sync has left is used, and synced by the next one", async () => {
    await makeUnsynced();
    await host.must("run", "--rm", "--network", "none", image, "true");
    expect(records().includes("layer.json")).toBe(false);
    await isWell();
    await areSynced();
  });

  test("a run finds layers that were not on disk, and makes them again first; later commands say nothing", async () => {
    await cutPower("etc/motd", "etc/top");
    const found = await host.pod("run", "--rm", "--network", "none", image, "cat", "/etc/motd", "/etc/top");
    expect(found).toMatchObject({ code: 0, stdout: "hello\ny\n", stderr: expect.stringMatching(note) });
    const again = await host.pod("run", "--rm", "--network", "none", image, "cat", "/etc/motd");
    expect(again).toMatchObject({ code: 0, stdout: "hello\n", stderr: "" });
    await areSynced();
    await isWell();
  });

  test("so does the start of a container that was there", async () => {
    await host.must("create", "--name", "there", "--network", "none", image, "cat", "/etc/motd", "/etc/top");
    await cutPower("etc/motd", "etc/top");
    const started = await host.pod("start", "-a", "there");
    expect(started).toMatchObject({ code: 0, stdout: "hello\ny\n", stderr: expect.stringMatching(note) });
  });

  test("layers that were on disk are left as they are, whatever the boot", async () => {
    await areSynced();
    const before = folders().map((folder) => readFileSync(join(folder, "layer.json"), "utf8"));
    writeFileSync(join(host.dataDir, "boot"), otherBoot);
    expect(await host.pod("run", "--rm", "--network", "none", image, "true")).toMatchObject({ code: 0, stderr: "" });
    expect(folders().map((folder) => readFileSync(join(folder, "layer.json"), "utf8"))).toEqual(before);
    expect(readFileSync(join(host.dataDir, "boot"), "utf8")).not.toBe(otherBoot);
  });

  test("what a removed image's container needs is synced before the blob goes", async () => {
    await host.must("create", "--name", "there", "--network", "none", image, "cat", "/etc/motd");
    await makeUnsynced();
    await host.must("rmi", "-f", image);
    expect(records().length).toBeGreaterThan(0);
    expect(records().every((name) => name === "layer.json")).toBe(true);
  });

  test("a layer that nothing makes again is missed, not used", async () => {
    await host.must("create", "--name", "there", "--network", "none", image, "cat", "/etc/motd");
    await areSynced();
    const { layers } = JSON.parse(
      readFileSync(join(host.dataDir, "blobs", (await digestOf()).replace(":", "/")), "utf8"),
    );
    for (const { digest } of layers) rmSync(join(host.dataDir, "blobs", digest.replace(":", "/")));
    await cutPower("etc/motd");
    const started = await host.pod("start", "-a", "there");
    expect(started.code).not.toBe(0);
    expect(started.stderr).toMatch(/layer sha256:[0-9a-f]{64} is missing\nhint: `pod pull`/);
    await host.must("pull", "-q", image);
    expect(await host.must("start", "-a", "there")).toBe("hello");
    await isWell();
  });
  const digestOf = () => host.must("images", "--digests", "--format", "{{.Digest}}", image);
});
