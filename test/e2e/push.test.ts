import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificates, outerAddress } from "../certificates.ts";
import { type Layout, writeLayout } from "../layout.ts";
import { type Fault, startProxy } from "../net/client.ts";
import { startCutter } from "../net/cutter.ts";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { startTokenServer } from "../tokens.ts";
import { Host } from "./harness.ts";

setDefaultTimeout(60_000);
const host = new Host();
const directory = mkdtempSync(join(tmpdir(), "pod-test-push-"));
const noise = crypto.getRandomValues(new Uint8Array(65_536));
const big = Buffer.concat(Array.from({ length: 64 }, (_, index) => noise.map((byte) => byte ^ index))); // gzip can't shrink it
let registry: TestRegistry;
let layout: Layout;
let layers: { digest: string; size: number }[];

beforeAll(async () => {
  host.open();
  registry = await startRegistry();
  layout = writeLayout(join(directory, "app"), [{ layers: [{ a: "1" }, { "data/noise": big }] }]);
  layers = JSON.parse(readFileSync(blob(layout, layout.descriptor.digest), "utf8")).layers;
  await registry.push(layout.directory, "team/app:1");
  await host.must("pull", `${registry.host}/team/app:1`);
});
afterAll(async () => {
  await Promise.all([host.close(), registry.stop()]);
  rmSync(directory, { recursive: true });
});

const blob = ({ directory: root }: Layout, digest: string) => join(root, "blobs", digest.replace(":", "/"));

/** Gives the image further names; returns the first of them. */
async function tag(...names: string[]): Promise<string> {
  await host.must("tag", `${registry.host}/team/app:1`, ...names);
  return names[0]!;
}

function behindProxy(target: TestRegistry, fault: Fault = () => undefined) {
  const proxy = startProxy(target.host, fault);
  return { ...proxy, [Symbol.dispose]: () => void proxy.stop() };
}

async function skopeo(...args: string[]): Promise<string> {
  const child = Bun.spawn(["skopeo", "--insecure-policy", ...args], { stdout: "pipe", stderr: "pipe" });
  const [text, words, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`skopeo ${args[0]}: ${words}`);
  return text;
}

test("what is pushed has the digest it was pulled with, and skopeo reads every byte of it", async () => {
  await using empty = await disposable();
  const name = await tag(`${empty.host}/copy/app:v1`);
  expect(await host.must("push", "--digestfile", join(host.work, "digest"), name)).toMatch(
    new RegExp(
      [
        `^The push refers to repository \\[${empty.host}/copy/app\\]`,
        "([0-9a-f]{12}: (Preparing|Pushed)\n){3}[0-9a-f]{12}: Pushed",
        `v1: digest: ${layout.descriptor.digest} size: ${layout.descriptor.size}$`,
      ].join("\n"),
    ),
  );
  expect(readFileSync(join(host.work, "digest"), "utf8")).toBe(layout.descriptor.digest);
  const copy = join(directory, "copy");
  await skopeo("copy", "--src-tls-verify=false", "--preserve-digests", `docker://${name}`, `oci:${copy}:v1`);
  for (const { digest } of layers) {
    expect(readFileSync(blob({ directory: copy } as Layout, digest))).toEqual(readFileSync(blob(layout, digest)));
  }
  expect(await host.must("images", "--digests", "--format", "{{.Digest}}", name)).toBe(layout.descriptor.digest);
});

test("what the registry has is not sent again", async () => {
  using proxy = behindProxy(registry);
  const lines = (await host.must("push", await tag(`${proxy.host}/team/app:1`))).split("\n");
  expect(lines.filter((line) => line.endsWith(": Layer already exists"))).toHaveLength(2);
  expect([...new Set(proxy.requests.map((line) => line.split(" ")[0]))].sort()).toEqual(["GET", "HEAD", "PUT"]);
  expect(proxy.requests.filter((line) => line.startsWith("PUT"))).toEqual(["PUT /v2/team/app/manifests/1"]);
});

test("layers of another repository of the registry are mounted", async () => {
  const lines = (await host.must("push", await tag(`${registry.host}/team/other:1`))).split("\n");
  expect(lines.filter((line) => line.endsWith(": Mounted from team/app"))).toHaveLength(2);
  expect(
    JSON.parse(await skopeo("inspect", "--tls-verify=false", `docker://${registry.host}/team/other:1`)).Digest,
  ).toBe(layout.descriptor.digest);
});

test("what registries.conf calls otherwise is pushed to and mounted from where it really lies", async () => {
  const conf = join(host.work, "registries.conf");
  writeFileSync(conf, `[[registry]]\nprefix = "mapped.example"\nlocation = "${registry.host}/deep"\n`);
  const env = { CONTAINERS_REGISTRIES_CONF: conf };
  const [first, second] = ["one", "two"].map((name) => `mapped.example/${name}:1`);
  await tag(first!, second!);
  expect((await host.podWith({ env }, "push", first!)).code).toBe(0);
  const { stdout } = await host.podWith({ env }, "push", second!);
  expect(stdout.split("\n").filter((line) => line.endsWith(": Mounted from one"))).toHaveLength(2);
  await skopeo("inspect", "--tls-verify=false", `docker://${registry.host}/deep/two:1`);
});

test("-a pushes all tags, -q prints the name alone", async () => {
  await using empty = await disposable();
  await tag(`${empty.host}/all:one`, `${empty.host}/all:two`);
  const lines = (await host.must("push", "--all-tags", `${empty.host}/all`)).split("\n");
  const { digest, size } = layout.descriptor;
  expect(lines.filter((line) => line.includes("digest:"))).toEqual(
    ["one", "two"].map((name) => `${name}: digest: ${digest} size: ${size}`),
  );
  const listed = JSON.parse(await skopeo("list-tags", "--tls-verify=false", `docker://${empty.host}/all`));
  expect(listed.Tags.toSorted()).toEqual(["one", "two"]);
  for (const args of [[`${empty.host}/all:one`], ["-a", `${empty.host}/all`]]) {
    const name = args.at(-1);
    expect(await host.pod("push", "-q", ...args)).toMatchObject({ code: 0, stdout: `${name}\n`, stderr: "" });
  }
});

test("on a terminal each layer has one line", async () => {
  await using empty = await disposable();
  const session = host.session("push", await tag(`${empty.host}/tty:1`));
  await session.waitFor(`1: digest: ${layout.descriptor.digest}`);
  expect(await session.exit()).toBe(0);
  expect(session.output().replaceAll("\x1b", "^")).toMatch(/\^\[2A\r\^\[2K[0-9a-f]{12}: Pushing \[=*> *\]/);
});

test("an upload that breaks at 90 % is made good; the other layer is not sent again", async () => {
  await using empty = await disposable();
  const size = layers[1]!.size;
  const cutter = await startCutter(empty.host, [size * 0.9]);
  const { code, stderr } = await host.pod("push", await tag(`${cutter.host}/drop:1`));
  cutter.stop();
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringMatching(/^note: .*connection.*; trying again in 0.5 seconds\n$/),
  });
  expect(cutter.left).toEqual([]);
  expect(cutter.sentBytes()).toBeLessThan(size * 2);
  await skopeo("copy", "--src-tls-verify=false", `docker://${empty.host}/drop:1`, `oci:${join(directory, "drop")}`);
});

// docker-registry keeps nothing of a request that broke off; here the proxy hands it over as a chunk that is whole.
test("an upload goes on behind what the registry says it has", async () => {
  await using empty = await disposable();
  const { digest, size } = layers[1]!;
  const kept = Math.floor(size * 0.9);
  let rest: string | null = null;
  using proxy = behindProxy(empty, async (request) => {
    const { pathname, search } = new URL(request.url);
    const headers = { host: proxy.host }; // what the registry makes its Locations of
    if (request.method === "PUT" && search.includes(encodeURIComponent(digest)) && !rest) {
      const body = (await request.bytes()).subarray(0, kept);
      const answer = await fetch(`http://${empty.host}${pathname}${search}`, { method: "PATCH", headers, body });
      rest = answer.headers.get("location");
      return new Response(null, { status: 502 });
    }
    return request.method === "GET" && pathname.includes("/uploads/")
      ? await fetch(rest!.replace(proxy.host, empty.host), { headers })
      : undefined;
  });
  const { code, stderr } = await host.pod("push", await tag(`${proxy.host}/rest:1`));
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining("trying again in 0.5 seconds") });
  const upload = rest!.replace(/.*\/uploads\/|\?.*/g, "");
  expect(proxy.requests.filter((line) => line.includes(upload))).toEqual([
    `PUT /v2/rest/blobs/uploads/${upload}`,
    `GET /v2/rest/blobs/uploads/${upload}`,
    `PATCH /v2/rest/blobs/uploads/${upload} ${kept}-${size - 1}`,
    `PUT /v2/rest/blobs/uploads/${upload}`,
  ]);
  await skopeo("copy", "--src-tls-verify=false", `docker://${empty.host}/rest:1`, `oci:${join(directory, "rest")}`);
});

test("a registry that asks for patience gets it, and the user is told", async () => {
  await using empty = await disposable();
  let refusals = 0;
  using proxy = behindProxy(empty, (request) =>
    request.method === "POST" && refusals++ === 0
      ? new Response(null, { status: 429, headers: { "retry-after": "1" } })
      : undefined,
  );
  const { code, stderr } = await host.pod("push", await tag(`${proxy.host}/busy:1`));
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: "note: toomanyrequests: too many requests; trying again in 1 seconds\n",
  });
});

test("foreign layers stay where they are", async () => {
  const foreign = { ...layers[0], mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" };
  const manifest = JSON.parse(readFileSync(blob(layout, layout.descriptor.digest), "utf8"));
  const type = "application/vnd.docker.distribution.manifest.v2+json";
  const body = JSON.stringify({
    ...manifest,
    mediaType: type,
    config: { ...manifest.config, mediaType: "application/vnd.docker.container.image.v1+json" },
    layers: [{ ...foreign, urls: ["https://elsewhere.example/layer"] }, manifest.layers[1]],
  });
  const url = `http://${registry.host}/v2/team/app/manifests/foreign`;
  expect((await fetch(url, { method: "PUT", body, headers: { "content-type": type } })).status).toBe(201);
  await host.must("pull", `${registry.host}/team/app:foreign`);

  await using empty = await disposable();
  await host.must("tag", `${registry.host}/team/app:foreign`, `${empty.host}/foreign:1`);
  const lines = (await host.must("push", `${empty.host}/foreign:1`)).split("\n");
  expect(
    lines
      .filter((line) => /Skipped foreign layer|Pushed/.test(line))
      .map((line) => line.slice(14))
      .sort(),
  ).toEqual(["Pushed", "Skipped foreign layer"]);
});

test("a push that is killed leaves a store that pushes", async () => {
  await using empty = await disposable();
  const { promise: reached, resolve } = Promise.withResolvers<void>();
  const proxy = startProxy(empty.host, async (request) => {
    if (request.method !== "PUT") return undefined;
    resolve();
    await Bun.sleep(10_000);
    return new Response(null, { status: 500 });
  });
  const child = host.spawn("push", await tag(`${proxy.host}/killed:1`));
  await reached;
  child.kill("SIGKILL");
  await child.exited;
  proxy.stop();
  expect(await host.must("push", await tag(`${empty.host}/killed:1`))).toContain("1: digest: ");
  await host.pod("rm", "-f", "nosuch"); // sweeps
  expect(readdirSync(join(host.dataDir, "locks/leases"))).toEqual([]);
  expect(readdirSync(join(host.dataDir, "tmp"))).toEqual([]);
});

test("a blob that the store has lost is named at once", async () => {
  await using empty = await disposable();
  const lost = join(host.dataDir, "blobs", layers[0]!.digest.replace(":", "/"));
  renameSync(lost, `${lost}.away`);
  const { code, stderr } = await host.pod("push", await tag(`${empty.host}/lost:1`));
  renameSync(`${lost}.away`, lost);
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: `pod: blob ${layers[0]!.digest} is not in the store\nhint: pull the image again\n`,
  });
});

test("what can't be pushed is refused in Docker's words", async () => {
  const refuse = async (...args: string[]) => (await host.pod("push", ...args)).stderr.split("\n")[0];
  expect(await refuse(`${registry.host}/nosuch`)).toBe(
    `pod: An image does not exist locally with the tag: ${registry.host}/nosuch`,
  );
  await tag(`${registry.host}/known:1`);
  expect(await refuse(`${registry.host}/known:2`)).toBe(`pod: tag does not exist: ${registry.host}/known:2`);
  expect(await refuse(`${registry.host}/team/app@${layout.descriptor.digest}`)).toBe(
    "pod: cannot push a digest reference",
  );
  expect(await refuse("-a", `${registry.host}/team/app:1`)).toBe("pod: tag can't be used with --all-tags/-a");
  expect(await refuse("team/App")).toContain("repository name (team/App) must be lowercase");
  expect(await refuse(await tag("127.0.0.1:1/app:1"))).toContain("registry 127.0.0.1:1 can't be reached");
});

test("an image that was pulled from an index is pushed as the platform that is here, and that is said", async () => {
  const platforms = ["amd64", "arm64"].map((architecture) => ({
    layers: [{ architecture }],
    platform: { os: "linux", architecture },
  }));
  const several = writeLayout(join(directory, "several"), platforms);
  await registry.push(several.directory, "team/several:1");
  await host.must("pull", "--platform", "linux/arm64", `${registry.host}/team/several:1`);
  const { stdout, stderr } = await host.pod("push", `${registry.host}/team/several:1`);
  const arm = several.manifests[1]!;
  expect(stdout).toEndWith(`1: digest: ${arm.digest} size: ${arm.size}\n`);
  expect(stderr).toBe(
    `note: Not all multiplatform-content is present and only the available single-platform image was pushed\n${several.descriptor.digest} -> ${arm.digest}\n`,
  );
});

describe("a registry with tokens", () => {
  const certificates = makeCertificates(directory, "IP:127.0.0.1");
  const tokens = startTokenServer({
    ...certificates.server,
    users: { ann: "secret", bob: "secret" },
    allowed: (user) => (user === "ann" ? ["pull", "push"] : ["pull"]),
  });
  let closed: TestRegistry;
  beforeAll(async () => {
    closed = await startRegistry({ tokens: tokens.settings });
  });
  afterAll(async () => {
    tokens.stop();
    await closed.stop();
  });
  const logIn = (user: string) => {
    mkdirSync(join(host.home, ".docker"), { recursive: true });
    const auth = Buffer.from(`${user}:secret`).toString("base64");
    writeFileSync(join(host.home, ".docker/config.json"), JSON.stringify({ auths: { [closed.host]: { auth } } }));
  };

  test("takes a push from who may, with rights to the sources of its layers", async () => {
    logIn("ann");
    await host.must("push", await tag(`${closed.host}/app:1`));
    tokens.seen.length = 0;
    expect(await host.must("push", await tag(`${closed.host}/second:1`))).toContain(": Mounted from app\n");
    expect(tokens.seen.map(({ query }) => query.getAll("scope"))).toEqual([
      ["repository:second:pull,push", "repository:app:pull"],
    ]);
  });

  test("is asked for another token when the first one is refused in the middle of a blob", async () => {
    await using empty = await disposable();
    let refusals = 0;
    using proxy = behindProxy(empty, async (request) => {
      const token = request.headers.get("authorization");
      const isBlob = request.method === "PUT" && request.url.includes("/blobs/");
      if (token && !(isBlob && refusals++ === 0)) return undefined;
      await request.body?.cancel();
      const { realm, service } = tokens.settings;
      const challenge = `Bearer realm="${realm}",service="${service}"`;
      return new Response(null, { status: 401, headers: { "www-authenticate": challenge } });
    });
    tokens.seen.length = 0;
    await host.must("push", await tag(`${proxy.host}/renewed:1`));
    expect(tokens.seen).toHaveLength(2);
    await skopeo(
      "copy",
      "--src-tls-verify=false",
      `docker://${empty.host}/renewed:1`,
      `oci:${join(directory, "renewed")}`,
    );
  });

  test("refuses who may not, in Docker's words and without the secret", async () => {
    logIn("bob");
    const { code, stderr } = await host.pod("push", await tag(`${closed.host}/forbidden:1`));
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `pod: push access denied for ${closed.host}/forbidden, repository does not exist or may require authorization: unauthorized: authentication required\nhint: log in: pod login ${closed.host}\n`,
    });
  });
});

const address = outerAddress();
describe.skipIf(!address)(`TLS with a CA of one's own${address ? "" : " (skipped: no address but loopback)"}`, () => {
  let own: ReturnType<typeof makeCertificates>;
  let secured: TestRegistry;
  let name: string;
  beforeAll(async () => {
    const folder = mkdtempSync(join(directory, "tls-"));
    own = makeCertificates(folder, `IP:${address}`);
    secured = await startRegistry({ address, tls: { ...own.server, clientAuthority: own.authority } });
    name = await tag(`${secured.host}/app:1`);
  });
  afterAll(() => secured.stop());
  const trust = (folder: string, files: Record<string, string>) => {
    const target = join(host.home, ".config", folder, "certs.d", secured.host);
    mkdirSync(target, { recursive: true });
    for (const [file, source] of Object.entries(files)) writeFileSync(join(target, file), readFileSync(source));
    return target;
  };

  test("is not trusted until its CA lies in certs.d, and the hint says where", async () => {
    const { code, stderr } = await host.pod("push", name);
    expect(code).toBe(1);
    expect(stderr).toContain(`~/.config/containers/certs.d/${secured.host}/ca.crt`);
  });

  for (const folder of ["containers", "docker"]) {
    test(`takes CA and client certificate from ${folder}'s folder`, async () => {
      const { certificate, key } = own.client;
      const target = trust(folder, { "ca.crt": own.authority, "client.cert": certificate, "client.key": key });
      expect(await host.must("push", name)).toContain("1: digest: ");
      rmSync(target, { recursive: true });
    });
  }

  test("takes the CA of SSL_CERT_FILE", async () => {
    const target = trust("docker", { "client.cert": own.client.certificate, "client.key": own.client.key });
    const { code } = await host.podWith({ env: { SSL_CERT_FILE: own.authority } }, "push", name);
    expect(code).toBe(0);
    rmSync(join(target, "client.key"));
    expect((await host.pod("push", name)).stderr).toContain("client.cert has no client.key beside it");
    rmSync(target, { recursive: true });
  });
});

async function disposable() {
  const started = await startRegistry();
  return { ...started, [Symbol.asyncDispose]: () => started.stop() };
}
