import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Layout, writeLayout } from "../layout.ts";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { Host } from "./harness.ts";

setDefaultTimeout(30_000);
const host = new Host();
const directory = mkdtempSync(join(tmpdir(), "pod-test-manifest-"));
const indexType = "application/vnd.oci.image.index.v1+json";
let registry: TestRegistry;
let other: TestRegistry;
let images: Layout[];

beforeAll(async () => {
  host.open();
  [registry, other] = await Promise.all([startRegistry(), startRegistry()]);
  images = ["amd64", "arm64"].map((architecture) =>
    writeLayout(join(directory, architecture), [
      { layers: [{ architecture }], platform: { os: "linux", architecture } },
    ]),
  );
  for (const [index, { directory: layout }] of images.entries()) await registry.push(layout, `app:${index}`);
  await host.must("pull", `${registry.host}/app:0`);
});
afterAll(async () => {
  await Promise.all([host.close(), registry.stop(), other.stop()]);
  rmSync(directory, { recursive: true });
});

const list = () => `${registry.host}/app:all`;
const inspect = async (name: string) => JSON.parse(await host.must("manifest", "inspect", name));
const fetchFrom = async (source: TestRegistry, path: string) =>
  await fetch(`http://${source.host}/v2/${path}`, {
    headers: { accept: `${indexType}, application/vnd.oci.image.manifest.v1+json` },
  });

test("create puts together images of the store and of the registry, with their platforms", async () => {
  const names = [0, 1].map((tag) => `${registry.host}/app:${tag}`);
  expect(await host.must("manifest", "create", list(), ...names)).toBe(`Created manifest list ${list()}`);
  expect(await inspect(list())).toEqual({
    schemaVersion: 2,
    mediaType: indexType,
    manifests: images.map(({ descriptor }, index) => ({
      ...descriptor,
      platform: { os: "linux", architecture: ["amd64", "arm64"][index] },
    })),
  });
});

test("create refuses a list that is there; --amend adds to it, and an image twice is one entry", async () => {
  const { code, stderr } = await host.pod("manifest", "create", list());
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: "pod: refusing to amend an existing manifest list with no --amend flag\n",
  });
  await host.must("manifest", "create", "--amend", list(), `${registry.host}/app:1`);
  expect((await inspect(list())).manifests).toHaveLength(2);
});

test("annotate changes what the list says of an image", async () => {
  const { digest } = images[1]!.descriptor;
  await host.must("manifest", "annotate", "--variant", "v8", "--os-features", "a,b", list(), digest);
  await host.must("manifest", "annotate", "--annotation", "who=me", list(), `${registry.host}/app:1`);
  const entry = (await inspect(list())).manifests.find((each: { digest: string }) => each.digest === digest);
  expect(entry).toMatchObject({
    platform: { os: "linux", architecture: "arm64", variant: "v8", "os.features": ["a", "b"] },
    annotations: { who: "me" },
  });
  expect((await host.pod("manifest", "annotate", "--os", "x", list(), `sha256:${"0".repeat(64)}`)).code).toBe(1);
});

test("push copies the images of both places, each with its digest, and the list to another registry", async () => {
  const target = `${other.host}/copy/app:all`;
  const lines = (await host.must("manifest", "push", list(), target)).split("\n");
  const digest = lines.at(-1)!;
  expect(lines.slice(0, -1)).toEqual(
    images.map(
      ({ descriptor }) => `Pushed ref ${other.host}/copy/app@${descriptor.digest} with digest: ${descriptor.digest}`,
    ),
  );
  const pushed = await fetchFrom(other, "copy/app/manifests/all");
  expect(pushed.headers.get("docker-content-digest")).toBe(digest);
  expect(await pushed.json()).toEqual(await inspect(list()));
  const copy = join(directory, "copy");
  const options = ["--insecure-policy", "copy", "--all", "--preserve-digests", "--src-tls-verify=false", "--quiet"];
  const skopeo = Bun.spawn(["skopeo", ...options, `docker://${target}`, `oci:${copy}`], { stderr: "pipe" });
  expect({ code: await skopeo.exited, words: await skopeo.stderr.text() }).toEqual({ code: 0, words: "" });
  const blobs = (root: string) => [...new Bun.Glob("blobs/sha256/*").scanSync(root)];
  for (const { directory: root } of images) {
    for (const blob of blobs(root)) expect(readFileSync(join(copy, blob))).toEqual(readFileSync(join(root, blob)));
  }
});

test("an index is added as a whole with --all, and its image for this machine without", async () => {
  const source = `${other.host}/copy/app:all`;
  await host.must("manifest", "create", "one", `docker://${source}`);
  expect((await inspect("one")).manifests).toHaveLength(1);
  await host.must("manifest", "create", "--all", "whole", source);
  expect((await inspect("whole")).manifests).toEqual((await inspect(list())).manifests);
  await host.must("manifest", "rm", "one", "whole");
});

test("what refers to an image is copied with it, and found from it in a registry that knows no referrers", async () => {
  const { descriptor } = images[0]!;
  const put = async (path: string, type: string, value: object) => {
    const body = JSON.stringify(value);
    const url = `http://${registry.host}/v2/app/manifests/${path}`;
    const { status, headers } = await fetch(url, { method: "PUT", body, headers: { "content-type": type } });
    expect(status).toBe(201);
    return { mediaType: type, digest: headers.get("docker-content-digest")!, size: body.length };
  };
  const manifest = JSON.parse(
    readFileSync(join(images[0]!.directory, "blobs", descriptor.digest.replace(":", "/")), "utf8"),
  );
  const signature = {
    ...manifest,
    artifactType: "application/example.signature",
    annotations: { by: "me" },
    subject: descriptor,
  };
  const signed = await put("signature", manifest.mediaType, signature);
  const tag = descriptor.digest.replace(":", "-");
  await put(tag, indexType, { schemaVersion: 2, mediaType: indexType, manifests: [signed] });

  await host.must("manifest", "push", list(), `${other.host}/signed:1`);
  const found = (await (await fetchFrom(other, `signed/manifests/${tag}`)).json()) as { manifests: object[] };
  expect(found.manifests).toEqual([
    { ...signed, artifactType: "application/example.signature", annotations: { by: "me" } },
  ]);
  expect((await fetchFrom(other, `signed/manifests/${signed.digest}`)).status).toBe(200);
});

test("push --purge forgets the list; so does rm, and both fail for one that is not there", async () => {
  const { digest } = images[0]!.descriptor;
  await host.must("manifest", "push", "--purge", "-q", "--digestfile", join(host.work, "digest"), list());
  expect((await fetchFrom(registry, `app/manifests/${readFileSync(join(host.work, "digest"), "utf8")}`)).status).toBe(
    200,
  );
  for (const verb of ["push", "rm"]) {
    const { code, stderr } = await host.pod("manifest", verb, list());
    expect({ code, stderr }).toEqual({ code: 1, stderr: `pod: No such manifest: ${list()}\n` });
  }
  expect(await inspect(`${registry.host}/app@${digest}`)).toMatchObject({ schemaVersion: 2, layers: [{}] });
});

test("a list that can't be made is not begun", async () => {
  expect((await host.pod("manifest", "create", "none", `${registry.host}/nosuch`)).code).toBe(1);
  expect((await host.pod("manifest", "rm", "none")).stderr).toBe("pod: No such manifest: none:latest\n");
});
