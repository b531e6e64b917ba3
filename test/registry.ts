/** A real registry (Debian's docker-registry) on a free loopback port, for as long as a test needs it. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface TestRegistry {
  /** `127.0.0.1:PORT`. */
  host: string;
  port: number;
  /** Puts an OCI image layout there; `name` like `library/alpine:latest`. */
  push(layoutDir: string, name: string): Promise<void>;
  /** Ends it and removes its storage. */
  stop(): Promise<void>;
}

export interface RegistryOptions {
  /** Name → password: it asks for Basic authentication. */
  users?: Record<string, string>;
  /** It sends its clients to this token server, and believes what the key of `certificate` (a PEM file) has signed. */
  tokens?: { realm: string; service: string; issuer: string; certificate: string };
  /** PEM files; with `clientAuthority` only clients that show a certificate of that CA may enter. */
  tls?: { certificate: string; key: string; clientAuthority?: string };
  /** Where it listens; loopback unless told. */
  address?: string;
}

/** Starts it. Fails with the registry's words where it doesn't start. */
export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const { address = "127.0.0.1" } = options;
  const directory = mkdtempSync(join(tmpdir(), "pod-test-registry-"));
  const configFile = join(directory, "config.yml");
  writeFileSync(configFile, await configuration(directory, address, options));
  const server = Bun.spawn(["docker-registry", "serve", configFile], {
    env: { PATH: process.env.PATH, OTEL_TRACES_EXPORTER: "none" },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const stop = async () => {
    server.kill();
    await server.exited;
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const port = await readPort(server.stderr);
    const host = `${address}:${port}`;
    const login = Object.entries(options.users ?? {})[0]?.join(":");
    return { host, port, push: (layoutDir, name) => push(layoutDir, `${host}/${name}`, login), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function configuration(directory: string, address: string, options: RegistryOptions): Promise<string> {
  const { users, tokens, tls } = options;
  const lines = [
    "version: 0.1",
    "log: { level: info, formatter: text }",
    `storage: { filesystem: { rootdirectory: ${JSON.stringify(join(directory, "data"))} }, delete: { enabled: true } }`,
    `http: ${JSON.stringify({ addr: `${address}:0`, ...(tls && { tls: toTls(tls) }) })}`,
    "validation: { manifests: { urls: { allow: [.*] } } }",
  ];
  if (tokens) {
    const { certificate, ...rest } = tokens;
    lines.push(`auth: ${JSON.stringify({ token: { ...rest, rootcertbundle: certificate } })}`);
  }
  if (users) {
    const hashed = Object.entries(users).map(async ([name, password]) => {
      return `${name}:${await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 })}\n`;
    });
    const file = join(directory, "htpasswd");
    writeFileSync(file, (await Promise.all(hashed)).join(""));
    lines.push(`auth: { htpasswd: { realm: test, path: ${JSON.stringify(file)} } }`);
  }
  return `${lines.join("\n")}\n`;
}

function toTls({ certificate, key, clientAuthority }: NonNullable<RegistryOptions["tls"]>) {
  return { certificate, key, ...(clientAuthority && { clientcas: [clientAuthority] }) };
}

/** The registry takes any free port and logs which; its later words are read too, so that it never waits for a reader. */
async function readPort(log: ReadableStream<Uint8Array>): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const follow = async () => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of log) {
      if (text.length < 65_536) text += decoder.decode(chunk, { stream: true });
      const port = /listening on \d+\.\d+\.\d+\.\d+:(\d+)/.exec(text)?.[1];
      if (port) resolve(Number(port));
    }
    reject(new Error(`docker-registry ended: ${text}`));
  };
  void follow();
  return await promise;
}

async function push(layoutDir: string, target: string, login: string | undefined): Promise<void> {
  const options = ["--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false"];
  if (login) options.push("--dest-creds", login);
  const copy = Bun.spawn(
    ["skopeo", "--insecure-policy", "copy", ...options, `oci:${layoutDir}`, `docker://${target}`],
    { stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  );
  const [words, code] = await Promise.all([copy.stderr.text(), copy.exited]);
  if (code !== 0) throw new Error(`push ${target}: ${words}`);
}
