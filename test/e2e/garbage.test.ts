import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { onBothDrivers } from "./harness.ts";
import { publish } from "./images.ts";

onBothDrivers("system df and the prunes", (host) => {
  let registry: TestRegistry;
  let app: string;
  let other: string;
  const create = (...options: string[]) => host.must("run", "--network", "none", ...options, "true");
  const df = async () => {
    const rows = (await host.must("system", "df", "--format", "json")).split("\n").map((row) => JSON.parse(row));
    return Object.fromEntries(rows.map(({ Type, ...row }) => [Type, row]));
  };
  const reclaimed = /^Total reclaimed space: [\d.]+(B|kB|MB)$/;

  beforeAll(async () => {
    registry = await startRegistry();
    app = await publish(registry, "team/app:1", { layers: [{ "etc/app": "a".repeat(100_000) }] });
    const config = { Labels: { keep: "yes" } };
    other = await publish(registry, "team/other:1", { layers: [{ "etc/other": "o".repeat(100_000) }], config });
  });
  afterAll(() => registry.stop());

  test("an empty store takes nothing", async () => {
    expect((await host.must("system", "df")).split("\n").map((line) => line.trimEnd())).toEqual([
      "TYPE                TOTAL     ACTIVE    SIZE      RECLAIMABLE",
      "Images              0         0         0B        0B",
      "Containers          0         0         0B        0B",
      "Local Volumes       0         0         0B        0B",
      "Interrupted Pulls   0         0         0B        0B",
    ]);
    expect(await host.must("system", "prune", "-f")).toBe("Total reclaimed space: 0B");
  });

  test("df counts what images share once, and tells what could go", async () => {
    await host.must("pull", "-q", app);
    const one = bytes((await df()).Images.Size);
    await host.must("pull", "-q", other);
    const { Images } = await df();
    expect(bytes(Images.Size) / one).toBeWithin(1.02, 1.5); // busybox is the larger part of both
    expect(Images).toMatchObject({ TotalCount: "2", Active: "0", Reclaimable: `${Images.Size} (100%)` });
    await create("--name", "user", app);
    const used = await df();
    expect(used.Images).toMatchObject({ TotalCount: "2", Active: "1", Size: Images.Size });
    expect(bytes(used.Images.Reclaimable)).toBeLessThan(one / 2);
    expect(used.Containers).toMatchObject({ TotalCount: "1", Active: "0", Reclaimable: expect.stringMatching(/100%/) });
  });

  test("df -v lists each image and container, and --format takes templates", async () => {
    const text = await host.must("system", "df", "-v");
    expect(text).toMatch(/^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE +SHARED SIZE +UNIQUE SIZE +CONTAINERS$/m);
    expect(text).toMatch(new RegExp(`^${app.split(":1")[0]} .* 1$`, "m"));
    expect(text).toMatch(/^CONTAINER ID +IMAGE +COMMAND +SIZE +CREATED +STATUS +NAMES$/m);
    expect(text).toMatch(/^[0-9a-f]{12} .* user$/m);
    expect(await host.must("system", "df", "--format", "{{.Type}}:{{.TotalCount}}")).toStartWith("Images:2\n");
    const all = JSON.parse(await host.must("system", "df", "-v", "--format", "json"));
    expect(all.Images.map((row: { Containers: string }) => row.Containers).toSorted()).toEqual(["0", "1"]);
    const told = all.Images.map(({ ID, Size }: { ID: string; Size: string }) => `${ID} ${Size}`);
    const listed = (await host.must("images", "--format", "{{.ID}} {{.Size}}")).split("\n");
    expect(told.toSorted()).toEqual(listed.toSorted());
    for (const { Size, SharedSize, UniqueSize } of all.Images) {
      expect(bytes(SharedSize) + bytes(UniqueSize)).toBeWithin(bytes(Size) * 0.99, bytes(Size) * 1.01);
    }
  });

  test("container prune asks, keeps what runs, and obeys its filters", async () => {
    const running = await host.must("run", "-d", "--network", "none", "--name", "up", app, "sleep", "60");
    await create("--label", "keep", "--name", "labelled", app);
    const asked = await host.podWith({ stdin: "n\n" }, "container", "prune");
    expect(asked.stdout).toStartWith("WARNING! This will remove all stopped containers.\nAre you sure you want");
    expect(await host.must("container", "prune", "-f", "--filter", "until=24h")).toBe("Total reclaimed space: 0B");
    const user = await host.must("ps", "-aq", "--no-trunc", "--filter", "name=^user$");
    const [heading, id, empty, total] = (await host.must("container", "prune", "-f", "--filter", "label!=keep")).split(
      "\n",
    );
    expect([heading, id, empty]).toEqual(["Deleted Containers:", user, ""]);
    expect(total).toMatch(reclaimed);
    expect(total).not.toEndWith(" 0B");
    expect((await host.must("ps", "-a", "--format", "{{.Names}}")).split("\n").toSorted()).toEqual(["labelled", "up"]);
    await host.must("container", "prune", "-f");
    await host.must("rm", "-f", running);
    for (const filter of ["label", "colour=red", "until=yesterday"]) {
      expect((await host.pod("container", "prune", "-f", "--filter", filter)).code).not.toBe(0);
    }
  });

  test("image prune takes what has no tag, with -a what no container uses, and says so as Docker does", async () => {
    await publish(registry, "team/app:1", { layers: [{ "etc/app": "newer" }] });
    const old = await host.must("images", "-q", "--no-trunc", app);
    await host.must("pull", "-q", app);
    const pruned = (await host.must("image", "prune", "-f")).split("\n");
    expect(pruned[0]).toBe("Deleted Images:");
    expect(pruned[1]).toStartWith(`untagged: ${app.split(":1")[0]}@sha256:`);
    expect(pruned.slice(2).filter((line) => line.startsWith("deleted: "))).toHaveLength(2); // busybox is shared
    expect(pruned).toContain(`deleted: ${old}`);
    expect(pruned.at(-1)).toMatch(reclaimed);
    await create("--name", "user", app);
    await host.must("image", "prune", "-af", "--filter", "label!=keep");
    expect((await host.must("images", "-q")).split("\n")).toHaveLength(2);
    await host.must("image", "prune", "-af");
    expect(await host.must("images", "--format", "{{.Repository}}")).toBe(app.replace(/:1$/, ""));
    expect(await host.must("run", "--rm", "--network", "none", app, "cat", "/etc/app")).toBe("newer");
  });

  test("interrupted pulls stay for seven days", async () => {
    const partial = join(host.dataDir, "partial", `sha256-${"0".repeat(64)}`);
    writeFileSync(partial, "x".repeat(5000));
    await host.must("system", "prune", "-f");
    expect((await df())["Interrupted Pulls"]).toMatchObject({ TotalCount: "1", Active: "1", Reclaimable: "0B (0%)" });
    utimesSync(partial, 1, Date.now() / 1000 - 8 * 24 * 3600);
    expect((await df())["Interrupted Pulls"]).toMatchObject({
      TotalCount: "1",
      Active: "0",
      Reclaimable: "8.192kB (100%)",
    });
    expect(await host.must("system", "prune", "-f")).not.toContain(" 0B");
    expect(readdirSync(join(host.dataDir, "partial"))).toEqual([]);
  });

  test("system prune names what goes", async () => {
    const { stdout, stderr, code } = await host.podWith(
      { stdin: "n\n" },
      ...["system", "prune", "-a", "--volumes", "--filter", "label=x"],
    );
    expect(code).toBe(0);
    expect(stdout).toStartWith(`WARNING! This will remove:
  - all stopped containers
  - all networks not used by at least one container
  - all anonymous volumes not used by at least one container
  - all images without at least one container associated to them
  - interrupted pulls that nobody took up for seven days

  Items to be pruned will be filtered with:
  - label=x

Are you sure you want to continue?`);
    expect(stderr).toBe("");
    await host.must("container", "prune", "-f");
    expect(await host.must("system", "prune", "-af")).toContain(`untagged: ${app}`);
    expect(await host.must("images", "-q")).toBe("");
    expect(await host.leftoversWithoutImages()).toEqual([]);
    for (const folder of ["blobs/sha256", "layers", "l"]) expect(readdirSync(join(host.dataDir, folder))).toEqual([]);
  });
});

function bytes(text: string): number {
  const [, number, unit] = /^([\d.]+)(B|kB|MB)/.exec(text)!;
  return Number(number) * { B: 1, kB: 1e3, MB: 1e6 }[unit as "B" | "kB" | "MB"];
}
