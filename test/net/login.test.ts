import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeLayout } from "../layout.ts";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { type Client, type Fault, newClient, type Outcome, startProxy } from "./client.ts";

const secret = "p:ss wörd";
setDefaultTimeout(30_000);
const layouts = mkdtempSync(join(tmpdir(), "pod-test-layouts-"));
let open: TestRegistry;
let closed: TestRegistry;
let client: Client;
const stops: (() => void)[] = [];

beforeAll(async () => {
  [open, closed] = await Promise.all([startRegistry(), startRegistry({ users: { ann: secret } })]);
  const layout = writeLayout(join(layouts, "app"), [{ layers: [{ a: "1" }, { b: "2" }, { c: "3" }, { d: "4" }] }]);
  await Promise.all([open.push(layout.directory, "team/app:1"), closed.push(layout.directory, "team/app:1")]);
});
afterAll(async () => {
  await Promise.all([open.stop(), closed.stop()]);
  rmSync(layouts, { recursive: true });
});
beforeEach(() => {
  client = newClient();
});
afterEach(async () => {
  for (const stop of stops.splice(0)) stop();
  await client.remove();
});

const basic = (name: string, password: string) => Buffer.from(`${name}:${password}`).toString("base64");
const expectNoSecret = ({ events }: Outcome) => {
  const told = JSON.stringify(events);
  for (const word of [secret, basic("ann", secret), "token-"]) expect(told).not.toContain(word);
};

describe("a registry with Basic authentication", () => {
  const image = () => `${closed.host}/team/app:1`;

  test("refuses a stranger in Docker's words", async () => {
    const outcome = await client.run("pull", image());
    expect(outcome.result.text).toBe(
      `pull access denied for ${closed.host}/team/app, repository does not exist or may require 'docker login': unauthorized: authentication required`,
    );
    expect(outcome.result.hint).toContain(`pod login ${closed.host}`);
  });

  test("takes the password of ~/.docker/config.json, and refuses a wrong one", async () => {
    client.write(
      ".docker/config.json",
      JSON.stringify({ auths: { [`https://${closed.host}`]: { auth: basic("ann", secret) } } }),
    );
    expect((await client.run("pull", image())).result.kind).toBe("image");
    client.write(".docker/config.json", JSON.stringify({ auths: { [closed.host]: { auth: basic("ann", "wrong") } } }));
    expect((await client.run("pull", image())).result.text).toContain("pull access denied");
  });

  test("takes containers' auth.json, the most specific key first", async () => {
    const auths = {
      [`${closed.host}/team`]: { auth: basic("ann", secret) },
      [closed.host]: { auth: basic("ann", "no") },
    };
    client.write("auth.json", JSON.stringify({ auths }));
    const outcome = await client.runWith({ REGISTRY_AUTH_FILE: join(client.home, "auth.json") }, "pull", image());
    expect(outcome.result.kind).toBe("image");
    client.write(
      ".config/containers/auth.json",
      JSON.stringify({ auths: { [closed.host]: { auth: basic("ann", secret) } } }),
    );
    expect((await client.run("pull", image())).result.kind).toBe("image");
  });

  test("takes what a credential helper says", async () => {
    const answer = JSON.stringify({ ServerURL: closed.host, Username: "ann", Secret: secret });
    const script = `#!/bin/sh\nread server\n[ "$1 $server" = "get ${closed.host}" ] && echo '${answer}' || { echo "credentials not found in native keychain"; exit 1; }\n`;
    client.write("bin/docker-credential-test", script, 0o755);
    client.write(".docker/config.json", '{"credsStore": "test"}');
    const outcome = await client.run("pull", image());
    expect(outcome.result.kind).toBe("image");
    expectNoSecret(outcome);
  });

  test("is told of a credential helper that is missing, where its password was needed", async () => {
    client.write(".docker/config.json", '{"credsStore": "absent"}');
    const { result } = await client.run("pull", image());
    expect(result.hint).toContain("credential helper docker-credential-absent is not in PATH");
    expect((await client.run("pull", `${open.host}/team/app:1`)).result.kind).toBe("image");
  });

  test("is told of a broken file without its content", async () => {
    client.write(".docker/config.json", `{"auths": {"${closed.host}": {"auth": "${basic("ann", secret)}"`);
    const outcome = await client.run("pull", image());
    expect(outcome.result.text).toContain(".docker/config.json is not valid JSON");
    expectNoSecret(outcome);
  });
});

/** A registry that hands out tokens; each is good for `uses` requests. `seen` lists the token server's requests. */
function startTokenRegistry(options: { uses?: number; fault?: Fault } = {}) {
  const seen: { query: Record<string, string>; authorization: string | null; body: string }[] = [];
  const uses = new Map<string, number>();
  const server = startProxy(open.host, async (request, pass) => {
    const url = new URL(request.url);
    if (url.pathname === "/token") {
      const body = await request.text();
      seen.push({
        query: Object.fromEntries(url.searchParams),
        authorization: request.headers.get("authorization"),
        body,
      });
      const token = `token-${seen.length}`;
      uses.set(token, options.uses ?? Number.POSITIVE_INFINITY);
      return Response.json({ token, expires_in: 300 });
    }
    const token = /^Bearer (.+)$/.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
    const left = uses.get(token) ?? 0;
    uses.set(token, left - 1);
    if (left > 0) return await options.fault?.(request, pass);
    const challenge = `Bearer realm="http://${server.host}/token",service="test registry"`;
    return Response.json(
      { errors: [{ code: "UNAUTHORIZED" }] },
      { status: 401, headers: { "www-authenticate": challenge } },
    );
  });
  stops.push(server.stop);
  return { host: server.host, seen, requests: server.requests };
}

describe("a registry with tokens", () => {
  test("is asked for one token, for pulling that repository", async () => {
    const registry = startTokenRegistry();
    const outcome = await client.run("pull", `${registry.host}/team/app:1`);
    expect(outcome.result.kind).toBe("image");
    expect(registry.seen).toEqual([
      { query: { service: "test registry", scope: "repository:team/app:pull" }, authorization: null, body: "" },
    ]);
    expectNoSecret(outcome);
  });

  test("gets the user's password at its token server", async () => {
    const registry = startTokenRegistry();
    client.write(".docker/config.json", JSON.stringify({ auths: { [registry.host]: { auth: basic("ann", secret) } } }));
    await client.run("pull", `${registry.host}/team/app:1`);
    expect(registry.seen[0]?.authorization).toBe(`Basic ${basic("ann", secret)}`);
  });

  test("gets the user's identity token by POST", async () => {
    const registry = startTokenRegistry();
    client.write(".docker/config.json", JSON.stringify({ auths: { [registry.host]: { identitytoken: "refresh" } } }));
    expect((await client.run("pull", `${registry.host}/team/app:1`)).result.kind).toBe("image");
    expect(Object.fromEntries(new URLSearchParams(registry.seen[0]?.body))).toMatchObject({
      grant_type: "refresh_token",
      refresh_token: "refresh",
      scope: "repository:team/app:pull",
    });
  });

  test("is asked for another token when one runs out in the middle", async () => {
    const registry = startTokenRegistry({ uses: 2 });
    const { result } = await client.run("pull", `${registry.host}/team/app:1`);
    expect(result.kind).toBe("image");
    expect(registry.seen.length).toBeGreaterThan(1);
  });

  test("that refuses every token is not asked for ever", async () => {
    const registry = startTokenRegistry({ uses: 0 });
    const outcome = await client.run("pull", `${registry.host}/team/app:1`);
    expect(outcome.result.text).toContain("pull access denied");
    expect(registry.requests.length).toBeLessThan(10);
    expectNoSecret(outcome);
  });

  test("keeps its token when a blob is redirected to another host", async () => {
    const authorizations: (string | null)[] = [];
    const other = startProxy(open.host, (request) => {
      authorizations.push(request.headers.get("authorization"));
      return undefined;
    });
    stops.push(other.stop);
    const registry = startTokenRegistry({
      fault: (request) => {
        const { pathname } = new URL(request.url);
        return pathname.includes("/blobs/") ? Response.redirect(`http://${other.host}${pathname}`, 307) : undefined;
      },
    });
    expect((await client.run("pull", `${registry.host}/team/app:1`)).result.kind).toBe("image");
    expect(authorizations).toHaveLength(5);
    expect(new Set(authorizations)).toEqual(new Set([null]));
  });
});
