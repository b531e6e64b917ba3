import { afterAll, afterEach, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Layout, writeLayout } from "../layout.ts";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { type Client, newClient } from "./client.ts";

setDefaultTimeout(30_000);
const layouts = mkdtempSync(join(tmpdir(), "pod-test-layouts-"));
const realImages = join(
  process.env.POD_TEST_IMAGES ?? join(import.meta.dir, "../../../shared/images"),
  "busybox-amd64",
);
let registry: TestRegistry;
let alpine: Layout;
let client: Client;

beforeAll(async () => {
  registry = await startRegistry();
  alpine = writeLayout(join(layouts, "alpine"), [
    {
      layers: [{ "bin/busybox": readFileSync("/bin/busybox") }, { "etc/motd": "hello" }],
      config: { Cmd: ["/bin/sh"] },
    },
    { layers: [{ "etc/motd": "arm" }], platform: { os: "linux", architecture: "arm64", variant: "v8" } },
  ]);
  await registry.push(alpine.directory, "library/alpine:latest");
  await registry.push(alpine.directory, "library/alpine:3.20");
});
afterAll(async () => {
  await registry.stop();
  rmSync(layouts, { recursive: true });
});
beforeEach(() => {
  client = newClient();
  mirrorHub(registry.host);
});
afterEach(() => client.remove());

function mirrorHub(host: string): void {
  client.write(
    ".config/containers/registries.conf",
    `[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "${host}"\n`,
  );
}

test("alpine comes from the mirror, whole and verified, and is named as Docker names it", async () => {
  const { events, result } = await client.run("pull", "alpine");
  expect(result).toMatchObject({ kind: "image", id: alpine.configs[0]!.digest, digest: alpine.manifests[0]!.digest });
  expect(events[0]).toMatchObject({ kind: "start", usedDefaultTag: true });
  expect(events.at(-2)).toEqual({ kind: "done", digest: alpine.descriptor.digest, upToDate: false });
  const [busybox, motd] = result.layers as string[];
  expect(existsSync(join(busybox!, "bin/busybox"))).toBe(true);
  expect(readFileSync(join(motd!, "etc/motd"), "utf8")).toBe("hello");
  const blobs = readdirSync(join(client.store, "blobs/sha256"));
  expect(blobs).toContain(alpine.manifests[0]!.digest.slice(7));
  expect(blobs).toHaveLength(4);
});

test("each layer says what becomes of it", async () => {
  const { events } = await client.run("pull", "alpine:latest");
  const layers = events.filter(({ kind }) => kind === "layer");
  const [id] = layers.map((event) => event.id as string);
  expect(id).toMatch(/^[0-9a-f]{12}$/);
  const statuses = [...new Set(layers.filter((event) => event.id === id).map(({ status }) => status as string))];
  expect(statuses.filter((status) => status !== "Extracting")).toEqual([
    "Pulling fs layer",
    "Downloading",
    "Verifying Checksum",
    "Download complete",
    "Pull complete",
  ]);
});

test("a second pull is up to date and fetches nothing", async () => {
  await client.run("pull", "alpine");
  const { events } = await client.run("pull", "alpine");
  expect(events.map(({ kind }) => kind)).toEqual(["start", "done", "image"]);
  expect(events[1]).toEqual({ kind: "done", digest: alpine.descriptor.digest, upToDate: true });
});

test("another tag of the same image brings only its name", async () => {
  await client.run("pull", "alpine");
  const { events } = await client.run("pull", "alpine:3.20");
  const statuses = events.filter(({ kind }) => kind === "layer").map(({ status }) => status);
  expect(statuses).toEqual(["Already exists", "Already exists"]);
  const { result } = await client.run("list");
  expect((result.references as string[][])[0]).toContain("docker.io/library/alpine:3.20");
});

test("a digest names an index or a manifest, and is found again without the registry", async () => {
  const name = `alpine@${alpine.descriptor.digest}`;
  expect((await client.run("pull", name)).result.id).toBe(alpine.configs[0]!.digest);
  mirrorHub("127.0.0.1:1");
  expect((await client.run("pull", name)).events[1]).toMatchObject({ kind: "done", upToDate: true });
  mirrorHub(registry.host);
  const manifest = await client.run("pull", `alpine@${alpine.manifests[0]!.digest}`);
  expect(manifest.result.id).toBe(alpine.configs[0]!.digest);
});

test("--platform chooses from the index, also where another platform's image is there", async () => {
  await client.run("pull", "alpine");
  const { result } = await client.run("pull", "alpine", "linux/arm64");
  expect(result).toMatchObject({ id: alpine.configs[1]!.digest, platform: { architecture: "arm64" } });
  const missing = await client.run("pull", "alpine", "linux/s390x");
  expect(missing.result).toMatchObject({
    kind: "error",
    text: "no matching manifest for linux/s390x in the manifest list entries",
    hint: "it is there for linux/amd64, linux/arm64/v8",
  });
});

test("an image without an index is refused for another platform than asked", async () => {
  const single = writeLayout(join(layouts, "single"), [{ layers: [{ a: "b" }] }]);
  await registry.push(single.directory, "single:1");
  const { result } = await client.run("pull", `${registry.host}/single:1`, "linux/arm64");
  expect(result.text).toContain("its platform (linux/amd64) does not match the specified platform (linux/arm64)");
  expect((await client.run("list")).result).toEqual({ kind: "images", references: [] });
});

test("an unknown image and an unknown tag are missed in Docker's words", async () => {
  const { result } = await client.run("pull", `${registry.host}/library/alpine:nosuch`);
  const name = `${registry.host}/library/alpine:nosuch`;
  expect(result.text).toBe(`manifest for ${name} not found: manifest unknown: manifest unknown`);
  const unknown = await client.run("pull", `${registry.host}/nosuch`);
  expect(unknown.result.text).toStartWith(`manifest for ${registry.host}/nosuch:latest not found: manifest unknown`);
});

test("a registry that is down is named, at once, with the ways around it", async () => {
  const started = performance.now();
  const { result, events } = await client.run("pull", "127.0.0.1:1/alpine");
  expect(result).toMatchObject({
    name: "RegistryError",
    text: "registry 127.0.0.1:1 can't be reached: connection refused",
  });
  expect(result.hint).toContain("pod run starter sh");
  expect(result.hint).toContain("~/.config/containers/registries.conf");
  expect(events.filter(({ kind }) => kind === "note")).toEqual([]);
  expect(performance.now() - started).toBeLessThan(5000);
});

test("a host that does not exist is an error at once", async () => {
  const { result } = await client.run("pull", "registry.invalid/alpine");
  expect(result.text).toStartWith("registry registry.invalid can't be reached: ");
});

test("a mirror that is down is passed over with a note", async () => {
  const mirrors = ["127.0.0.1:1", registry.host].map((host) => `[[registry.mirror]]\nlocation = "${host}"\n`);
  client.write(".config/containers/registries.conf", `[[registry]]\nlocation = "docker.io"\n${mirrors.join("")}`);
  const { events, result } = await client.run("pull", "alpine");
  expect(result.kind).toBe("image");
  expect(events.filter(({ kind }) => kind === "note")).toEqual([
    { kind: "note", text: "mirror 127.0.0.1:1: registry 127.0.0.1:1 can't be reached: connection refused" },
  ]);
});

test("a proxy is not asked for what lies on loopback", async () => {
  const { result } = await client.runWith(
    { HTTP_PROXY: "http://127.0.0.1:1" },
    "pull",
    `${registry.host}/library/alpine`,
  );
  expect(result.kind).toBe("image");
});

test("a short name is looked for in the registries that the user has named, and found again under it", async () => {
  client.write(
    ".config/containers/registries.conf",
    `unqualified-search-registries = ["127.0.0.1:1", "${registry.host}"]\n[aliases]\n"nick" = "${registry.host}/library/alpine"\n`,
  );
  const { events, result } = await client.run("pull", "library/alpine");
  expect(result.id).toBe(alpine.configs[0]!.digest);
  expect(events.filter(({ kind }) => kind === "note")).toEqual([
    { kind: "note", text: "127.0.0.1:1/library/alpine: registry 127.0.0.1:1 can't be reached: connection refused" },
  ]);
  for (const name of ["library/alpine", "nick"]) {
    expect((await client.run("ensure", name, "", "never")).result.id).toBe(alpine.configs[0]!.digest);
  }
});

test("two pulls at once do the work once", async () => {
  const outcomes = await Promise.all([client.run("pull", "alpine"), client.run("pull", "alpine")]);
  for (const { result } of outcomes) expect(result.id).toBe(alpine.configs[0]!.digest);
  expect(readdirSync(join(client.store, "blobs/sha256"))).toHaveLength(4);
  expect(readdirSync(join(client.store, "partial"))).toEqual([]);
});

test("a layer that an image has twice is downloaded once", async () => {
  const twice = writeLayout(join(layouts, "twice"), [{ layers: [{ a: "1" }, { b: "2" }, { a: "1" }] }]);
  await registry.push(twice.directory, "twice:1");
  const { events, result } = await client.run("pull", `${registry.host}/twice:1`);
  expect(result.layers).toHaveLength(3);
  expect(events.filter(({ status }) => status === "Download complete")).toHaveLength(2);
});

test("run pulls what is missing, what is for another platform, and always or never when told so", async () => {
  const ensure = async (name: string, platform: string, policy: string) =>
    (await client.run("ensure", name, platform, policy)).events;
  const kinds = (events: { kind: string }[]) => [...new Set(events.map(({ kind }) => kind))];
  const [never] = await ensure("alpine", "", "never");
  expect(never).toMatchObject({ kind: "error", name: "NotFoundError", text: "No such image: alpine:latest" });
  expect(kinds(await ensure("alpine", "", "missing"))).toEqual(["start", "layer", "done", "image"]);
  expect(kinds(await ensure("alpine", "", "missing"))).toEqual(["image"]);
  expect(kinds(await ensure("alpine", "", "always"))).toEqual(["start", "done", "image"]);
  const [other] = await ensure("alpine", "linux/arm64", "never");
  expect(other?.text).toContain("its platform (linux/amd64) does not match the specified platform (linux/arm64)");
  expect((await ensure("alpine", "linux/arm64", "missing")).at(-1)?.id).toBe(alpine.configs[1]!.digest);
});

test("an id is not looked for in a registry", async () => {
  const id = `sha256:${"0".repeat(64)}`;
  expect((await client.run("ensure", id, "", "missing")).events).toMatchObject([
    { kind: "error", text: `No such image: ${id}` },
  ]);
});

test("the starter needs no registry", async () => {
  client.write(".config/containers/registries.conf", '[[registry]]\nlocation = "docker.io"\nblocked = true\n');
  const { result } = await client.run("ensure", "starter", "", "missing");
  expect(result.kind).toBe("image");
  const { events } = await client.run("pull", "starter");
  expect(events.at(-2)).toMatchObject({ kind: "done", upToDate: true });
  expect(existsSync(join((events.at(-1)!.layers as string[])[0]!, "bin/busybox"))).toBe(true);
});

test("rmi takes the name, the digest's name, and with them the image and its layers", async () => {
  await client.run("pull", "alpine");
  await client.run("pull", "alpine:3.20");
  expect((await client.run("remove", "alpine:3.20")).result).toEqual({
    kind: "removed",
    untagged: ["alpine:3.20"],
    deleted: [],
  });
  const { result } = await client.run("remove", "alpine");
  expect(result.untagged).toEqual(["alpine:latest", `alpine@${alpine.descriptor.digest}`]);
  expect((result.deleted as string[])[0]).toBe(alpine.configs[0]!.digest);
  expect(result.deleted).toHaveLength(3);
  expect(readdirSync(join(client.store, "blobs/sha256"))).toEqual([]);
  expect(readdirSync(join(client.store, "layers"))).toEqual([]);
  expect((await client.run("remove", "alpine")).result.text).toBe("No such image: alpine:latest");
});

test("rmi spares what a container uses, in Docker's words, and with force what a stopped one runs on", async () => {
  const id = (await client.run("pull", "alpine")).result.id as string;
  const refuse = async (name: string, force: string, status: string) =>
    (await client.run("remove", name, force, status)).result.text;
  expect(await refuse("alpine", "", "exited")).toBe(
    "conflict: unable to delete alpine:latest (must be forced) - image is being used by stopped container cccccccccccc",
  );
  expect(await refuse(id, "force", "running")).toBe(
    `conflict: unable to delete ${id.slice(7, 19)} (cannot be forced) - image is being used by running container cccccccccccc`,
  );
  const { result } = await client.run("remove", "alpine", "force", "exited");
  expect(result.deleted).toEqual([id]);
  expect(readdirSync(join(client.store, "layers"))).toHaveLength(2);
});

test.if(existsSync(realImages))("the official busybox image comes as it is", async () => {
  await registry.push(realImages, "library/busybox:latest");
  const { result } = await client.run("pull", "busybox");
  expect(result.kind).toBe("image");
  expect(existsSync(join((result.layers as string[])[0]!, "bin/busybox"))).toBe(true);
});
