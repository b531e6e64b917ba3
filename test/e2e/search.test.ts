import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificates } from "../certificates.ts";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { Host } from "./harness.ts";
import { publish } from "./images.ts";

setDefaultTimeout(30_000);
const host = new Host();
const directory = mkdtempSync(join(tmpdir(), "pod-test-search-"));
let registry: TestRegistry;
let proxy: Server;
let hub: Bun.Server<undefined>;
let env: Record<string, string>;
const asked: string[] = [];

const results = [
  { name: "team/alpine", description: "short", star_count: 3, is_official: false, is_automated: false },
  {
    name: "alpine",
    description: `A minimal Docker image based on Alpine Linux\nwith a ${"long ".repeat(20)}story`,
    star_count: 11_000,
    is_official: true,
    is_automated: false,
  },
];

/** Docker Hub can't be had in a test: what stands for it answers in its form, behind TLS and a proxy that knows the way. */
beforeAll(async () => {
  host.open();
  registry = await startRegistry();
  for (const name of ["team/app:1", "team/other:1", "base:1"]) await publish(registry, name, {});
  const own = makeCertificates(directory, "DNS:index.docker.io");
  hub = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert: Bun.file(own.server.certificate), key: Bun.file(own.server.key) },
    fetch(request) {
      const { pathname, search } = new URL(request.url);
      asked.push(`${request.method} ${pathname}${search}`);
      return Response.json({ num_results: results.length, results });
    },
  });
  proxy = createServer((client) => {
    client.once("data", (head) => {
      asked.push(head.toString().split("\r\n")[0]!);
      const server = connect(hub.port!, "127.0.0.1", () => client.write("HTTP/1.1 200 OK\r\n\r\n"));
      client.pipe(server).pipe(client);
    });
    client.on("error", () => {});
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const { port } = proxy.address() as AddressInfo;
  env = { HTTPS_PROXY: `http://127.0.0.1:${port}`, SSL_CERT_FILE: own.authority };
});
afterAll(async () => {
  proxy.close();
  await Promise.all([host.close(), registry.stop(), hub.stop(true)]);
  rmSync(directory, { recursive: true });
});

test("Docker Hub is asked through the proxy, and answers with Docker's table, stars first", async () => {
  asked.length = 0;
  const { code, stdout, stderr } = await host.podWith({ env }, "search", "--limit", "7", "al pine");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(asked).toEqual(["CONNECT index.docker.io:443 HTTP/1.1", "GET /v1/search?q=al+pine&n=7"]);
  expect(stdout.split("\n")).toEqual([
    "NAME          DESCRIPTION                                     STARS     OFFICIAL",
    "alpine        A minimal Docker image based on Alpine Linux…   11000     [OK]",
    "team/alpine   short                                           3         ",
    "",
  ]);
});

test("--no-trunc, --filter and --format do as Docker's", async () => {
  const search = async (...args: string[]) => (await host.podWith({ env }, "search", ...args, "alpine")).stdout;
  expect(await search("--no-trunc", "--format", "{{.Description}}")).toContain("story\n");
  expect(await search("--filter", "is-official=true", "--format", "{{.Name}} {{.StarCount}}")).toBe("alpine 11000\n");
  expect(await search("--filter", "stars=4", "--format", "json")).toStartWith('{"Description":"A minimal');
});

test("another registry's names are those of its catalog that contain the word", async () => {
  const search = async (term: string) => await host.must("search", "--format", "{{.Name}}", `${registry.host}/${term}`);
  expect(await search("team")).toBe([`${registry.host}/team/app`, `${registry.host}/team/other`].join("\n"));
  expect((await search("")).split("\n")).toHaveLength(3);
});

test("what can't be searched is refused in Docker's words", async () => {
  const refuse = async (...args: string[]) => (await host.pod("search", ...args)).stderr.split("\n")[0];
  expect(await refuse("--limit", "200", "x")).toBe("pod: limit 200 is outside the range of [1, 100]");
  expect(await refuse("--filter", "size=1", "x")).toBe("pod: invalid filter 'size'");
  expect(await refuse()).toBe("pod: 'pod search' requires 1 argument");
  expect(await refuse("127.0.0.1:1/x")).toBe("pod: registry 127.0.0.1:1 can't be reached: connection refused");
});
