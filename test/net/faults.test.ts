import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Layout, writeLayout } from "../layout.ts";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { type Client, cut, type Fault, newClient, startProxy, type Told } from "./client.ts";

setDefaultTimeout(30_000);
const layouts = mkdtempSync(join(tmpdir(), "pod-test-layouts-"));
const noise = crypto.getRandomValues(new Uint8Array(65_536));
const big = Buffer.concat(Array.from({ length: 48 }, (_, index) => noise.map((byte) => byte ^ index))); // 3 MB, gzip can't shrink it
let registry: TestRegistry;
let image: Layout;
let blobPath: string;
let blobSize: number;
let client: Client;
let proxy: ReturnType<typeof startProxy>;

beforeAll(async () => {
  registry = await startRegistry();
  image = writeLayout(join(layouts, "app"), [{ layers: [{ "data/noise": big }] }]);
  await registry.push(image.directory, "app:1");
  const manifest = await Bun.file(join(image.directory, "blobs/sha256", image.descriptor.digest.slice(7))).json();
  blobPath = `/v2/app/blobs/${manifest.layers[0].digest}`;
  blobSize = manifest.layers[0].size;
});
afterAll(async () => {
  await registry.stop();
  rmSync(layouts, { recursive: true });
});
beforeEach(() => {
  client = newClient();
});
afterEach(async () => {
  proxy.stop();
  await client.remove();
});

function pullThrough(fault: Fault) {
  proxy = startProxy(registry.host, fault);
  return client.run("pull", `${proxy.host}/app:1`);
}
const isBlob = (request: Request) => new URL(request.url).pathname === blobPath;
const blobRequests = () =>
  proxy.requests.filter((line) => line.includes(blobPath)).map((line) => line.split(" ")[2] ?? "all");
const notes = (events: Told[]) => events.filter(({ kind }) => kind === "note");
const nothingIsLeft = () => {
  expect(existsSync(join(client.store, "partial")) ? readdirSync(join(client.store, "partial")) : []).toEqual([]);
  expect(readdirSync(join(client.store, "layers"))).toEqual([]);
  expect(readdirSync(join(client.store, "tmp"))).toEqual([]);
};

describe("a connection that breaks", () => {
  test("is taken up where it broke off", async () => {
    let cuts = 0;
    const { result, events } = await pullThrough(async (request, pass) =>
      isBlob(request) && cuts++ < 2 ? await cut(await pass(), 1_000_000) : undefined,
    );
    expect(result.kind).toBe("image");
    // What was on its way when the connection was reset may be lost: each goes on from what had arrived by then.
    const [all, ...rest] = blobRequests();
    const [first = 0, second = 0] = rest.map((range) => Number(/^bytes=(\d+)-$/.exec(range)![1]));
    expect([all, rest.length]).toEqual(["all", 2]);
    expect(first).toBeWithin(1, 1_000_001);
    expect(second - first).toBeWithin(1, 1_000_001);
    expect(notes(events)).toHaveLength(2);
  });

  test("is taken up by the next command", async () => {
    const gone = await pullThrough(async (request, pass) => {
      if (!isBlob(request)) return undefined;
      return blobRequests().length > 1 ? new Response(null, { status: 404 }) : await cut(await pass(), 1_234_567);
    });
    expect(gone.result.kind).toBe("error");
    proxy.state.fault = () => undefined;
    proxy.requests.length = 0;
    expect((await client.run("pull", `${proxy.host}/app:1`)).result.kind).toBe("image");
    expect(blobRequests()).toEqual([expect.stringMatching(/^bytes=[1-9]\d*-$/)]); // a reset may drop what was on its way
  });

  test("is read from the start where the server ignores Range", async () => {
    let cuts = 0;
    const { result } = await pullThrough(async (request, pass) => {
      if (!isBlob(request)) return undefined;
      if (cuts++ === 0) return await cut(await pass(), 1_000_000);
      return await fetch(`http://${registry.host}${blobPath}`);
    });
    expect(result.kind).toBe("image");
  });

  test("is given up in the end", async () => {
    const { result } = await pullThrough((request) =>
      isBlob(request) ? new Response(null, { status: 416 }) : undefined,
    );
    expect(result.text).toContain("416");
  });
});

test("a pull that is killed goes on with the next command", async () => {
  proxy = startProxy(registry.host, async (request, pass) => {
    if (!isBlob(request)) return undefined;
    const bytes = new Uint8Array(await (await pass()).arrayBuffer());
    const first = bytes.subarray(0, 1_500_000);
    return new Response(new ReadableStream({ start: (controller) => controller.enqueue(first) })); // and then silence
  });
  const child = client.start("pull", `${proxy.host}/app:1`);
  const partial = join(client.store, "partial");
  const arrived = () =>
    (existsSync(partial) ? readdirSync(partial) : []).map((name) => statSync(join(partial, name)).size)[0];
  while (arrived() !== 1_500_000) await Bun.sleep(10);
  child.kill("SIGKILL");
  await child.exited;
  proxy.state.fault = () => undefined;
  proxy.requests.length = 0;
  const { result } = await client.run("pull", `${proxy.host}/app:1`);
  expect(result.kind).toBe("image");
  expect(blobRequests()).toEqual(["bytes=1500000-"]);
});

describe("a busy registry", () => {
  test("is waited for as long as it asks, and the user is told", async () => {
    let refusals = 0;
    const started = performance.now();
    const { result, events } = await pullThrough((request) => {
      if (!isBlob(request) || refusals++ > 0) return undefined;
      return new Response(null, { status: 429, headers: { "retry-after": "1" } });
    });
    expect(result.kind).toBe("image");
    expect(notes(events)).toEqual([
      { kind: "note", text: expect.stringContaining("too many requests; trying again in 1 seconds") },
    ]);
    expect(performance.now() - started).toBeGreaterThan(1000);
  });

  test("is not waited for where it asks for an hour", async () => {
    const { result } = await pullThrough((request) => {
      if (!request.url.includes("/manifests/")) return undefined;
      const message = "You have reached your pull rate limit.";
      return Response.json(
        { errors: [{ code: "TOOMANYREQUESTS", message }] },
        { status: 429, headers: { "retry-after": "3600" } },
      );
    });
    expect(result.text).toBe("toomanyrequests: You have reached your pull rate limit.");
  });

  test("is asked again after 503", async () => {
    let refusals = 0;
    const { result } = await pullThrough((request) =>
      request.url.includes("/manifests/") && refusals++ === 0 ? new Response("busy", { status: 503 }) : undefined,
    );
    expect(result.kind).toBe("image");
  });
});

describe("wrong content leaves nothing", () => {
  test("a blob with the wrong bytes", async () => {
    const { result } = await pullThrough((request) =>
      isBlob(request) ? new Response(new Uint8Array(blobSize)) : undefined,
    );
    expect(result).toMatchObject({ kind: "error", text: expect.stringContaining("digest") });
    nothingIsLeft();
    proxy.state.fault = () => undefined;
    expect((await client.run("pull", `${proxy.host}/app:1`)).result.kind).toBe("image");
  });

  test("a blob that is too long", async () => {
    const { result } = await pullThrough(async (request, pass) => {
      if (!isBlob(request)) return undefined;
      return new Response(Buffer.concat([new Uint8Array(await (await pass()).arrayBuffer()), Buffer.from("x")]));
    });
    expect(result).toMatchObject({ kind: "error", text: expect.stringContaining("longer than") });
    expect(readdirSync(join(client.store, "layers"))).toEqual([]);
  });

  test("what an earlier pull left is downloaded again where it was damaged", async () => {
    let answers = 0;
    const first = await pullThrough((request) => {
      if (!isBlob(request)) return undefined;
      return answers++ > 0
        ? new Response(null, { status: 404 })
        : cut(new Response(new Uint8Array(1_000_000)), 500_000);
    });
    expect(first.result.kind).toBe("error");
    proxy.state.fault = () => undefined;
    const { result, events } = await client.run("pull", `${proxy.host}/app:1`);
    expect(result.kind).toBe("image");
    expect(notes(events)).toEqual([{ kind: "note", text: expect.stringContaining("damaged; downloading it again") }]);
  });

  test("a manifest that is not the one asked for", async () => {
    proxy = startProxy(registry.host, (request) =>
      request.url.includes("/manifests/") ? new Response('{"schemaVersion":2}') : undefined,
    );
    const { result } = await client.run("pull", `${proxy.host}/app@${image.descriptor.digest}`);
    expect(result.text).toContain(`has the wrong digest: wanted ${image.descriptor.digest}`);
  });

  test("a manifest that differs from its Docker-Content-Digest", async () => {
    const { result } = await pullThrough((request) => {
      const headers = { "docker-content-digest": `sha256:${"0".repeat(64)}` };
      return request.url.includes("/manifests/") ? new Response('{"schemaVersion":2}', { headers }) : undefined;
    });
    expect(result.text).toContain("has the wrong digest");
  });

  test("a manifest of 5 MB", async () => {
    const { result } = await pullThrough((request) =>
      request.url.includes("/manifests/") ? new Response(new Uint8Array(5 << 20).fill(32)) : undefined,
    );
    expect(result.text).toBe(`the manifest of ${proxy.host}/app:1 is larger than 4194304 bytes`);
  });

  test("a manifest of schema 1", async () => {
    const { result } = await pullThrough((request) => {
      const headers = { "content-type": "application/vnd.docker.distribution.manifest.v1+prettyjws" };
      return request.url.includes("/manifests/") ? new Response('{"schemaVersion":1}', { headers }) : undefined;
    });
    expect(result.text).toContain("is in Docker's schema 1");
  });

  for (const [what, body] of [
    ["text", "<html>"],
    ["null", "null"],
    ["no layers", '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'],
    ["an index of nothing", '{"schemaVersion":2,"manifests":[null]}'],
    [
      "a path for a digest",
      '{"schemaVersion":2,"config":{"mediaType":"","digest":"sha256:../../x","size":1},"layers":[]}',
    ],
  ]) {
    test(`a manifest that is ${what}`, async () => {
      const { result } = await pullThrough((request) =>
        request.url.includes("/manifests/") ? new Response(body) : undefined,
      );
      expect(result).toMatchObject({ kind: "error", name: expect.stringMatching(/^(PodError|RegistryError)$/) });
    });
  }
});

test("a registry's words reach the terminal without control characters", async () => {
  const { result } = await pullThrough((request) =>
    request.url.includes("/manifests/")
      ? Response.json({ errors: [{ code: "UNKNOWN", message: "a\u001b]0;x\u0007b" }] }, { status: 400 })
      : undefined,
  );
  expect(result.text).not.toMatch(/\p{Cc}/u);
});
