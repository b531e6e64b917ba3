/** For tests of pulling: one user with a folder of his own, and a proxy that makes mistakes in front of a real registry. */

import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export interface Told {
  kind: string;
  [field: string]: unknown;
}

export interface Outcome {
  events: Told[];
  /** The image, the list, or the error: the last thing told. */
  result: Told;
}

/** A user with an empty store. `run` does one operation of pull-child.ts; `start` leaves it running. */
export function newClient(files: Record<string, string> = {}) {
  const home = mkdtempSync(join(tmpdir(), "pod-test-client-"));
  const write = (name: string, content: string, mode = 0o600) => {
    mkdirSync(dirname(join(home, name)), { recursive: true });
    writeFileSync(join(home, name), content, { mode });
  };
  write(".config/containers/registries.conf", "");
  for (const [name, content] of Object.entries(files)) write(name, content);
  const program = ["unshare", "--map-root-user", "--map-auto", "--mount"];
  const child = [process.execPath, join(import.meta.dir, "../pull-child.ts")];
  const inUserNamespace = (command: string[], variables: Record<string, string> = {}) =>
    Bun.spawn([...program, ...command], {
      cwd: home,
      env: {
        PATH: `${home}/bin:${process.env.PATH}`,
        HOME: home,
        XDG_DATA_HOME: join(home, "data"),
        CONTAINERS_REGISTRIES_CONF: join(home, ".config/containers/registries.conf"),
        ...variables,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
  const start = (...operation: string[]) => inUserNamespace([...child, ...operation]);
  return {
    home,
    store: join(home, "data/pod"),
    write,
    start,
    /** Does the operation with these variables in its environment. */
    async runWith(variables: Record<string, string>, ...operation: string[]): Promise<Outcome> {
      return await read(inUserNamespace([...child, ...operation], variables).stdout);
    },
    async run(...operation: string[]): Promise<Outcome> {
      return await read(start(...operation).stdout);
    },
    /** Layers' files belong to mapped ids: only inside the user namespace can they be removed. */
    async remove(): Promise<void> {
      await inUserNamespace(["rm", "-rf", home]).exited;
    },
  };
}

export type Client = ReturnType<typeof newClient>;

async function read(stdout: ReadableStream<Uint8Array>): Promise<Outcome> {
  const lines = (await new Response(stdout).text()).trim().split("\n").filter(Boolean);
  const events = lines.map((line) => JSON.parse(line) as Told);
  return { events, result: events.at(-1) ?? { kind: "nothing" } };
}

/** What a faulty proxy does with a request instead of passing it on; undefined passes it on. */
export type Fault = (
  request: Request,
  pass: () => Promise<Response>,
) => Promise<Response | undefined> | Response | undefined;

/** An HTTP server in front of the registry at `host`. `requests` lists what came: `GET /v2/…`, with its Range or Content-Range. */
export function startProxy(host: string, initialFault: Fault) {
  const requests: string[] = [];
  const state = { fault: initialFault };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    development: false,
    error: () => new Response(null, { status: 500 }), // a cut is no news
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const range = request.headers.get("range") ?? request.headers.get("content-range");
      requests.push(`${request.method} ${pathname}${range ? ` ${range}` : ""}`);
      const headers = new Headers(request.headers);
      headers.delete("authorization");
      const { method, body } = request;
      const pass = () => fetch(`http://${host}${pathname}${search}`, { method, headers, body, redirect: "manual" });
      return (await state.fault(request, pass)) ?? (await pass());
    },
  });
  return { host: `127.0.0.1:${server.port}`, requests, state, stop: () => server.stop(true) };
}

/** The answer, broken off after `bytes` of its body. */
export async function cut(response: Response, bytes: number): Promise<Response> {
  const whole = new Uint8Array(await response.arrayBuffer());
  let sent = false;
  const body = new ReadableStream({
    async pull(controller) {
      if (!sent) controller.enqueue(whole.subarray(0, bytes));
      else {
        await Bun.sleep(50);
        controller.error(new Error("cut"));
      }
      sent = true;
    },
  });
  const headers = new Headers(response.headers);
  return new Response(body, { status: response.status, headers });
}
