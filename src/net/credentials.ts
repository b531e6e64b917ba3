/** The user's registry passwords, from where `docker login` and `podman login` put them: config files and credential helpers. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { config } from "../config.ts";
import { formatError, hasCode, PodError } from "../errors.ts";

/** What to show a registry, or its token server. */
export type Credentials = { username: string; password: string } | { identityToken: string };

/** containers-auth.json(5), and Docker's config.json with the same fields. */
interface AuthFile {
  auths?: Record<string, { auth?: string; username?: string; password?: string; identitytoken?: string }>;
  credHelpers?: Record<string, string>;
  credsStore?: string;
}

/**
 * The credentials for a repository like `docker.io/library/alpine`: the file's most specific key wins, files in the order of
 * containers-auth.json(5), Docker's last. `problem` tells of a helper that failed; the pull then goes on without credentials.
 */
export async function findCredentials(repository: string): Promise<{ credentials?: Credentials; problem?: string }> {
  let problem: string | undefined;
  for (const path of authFiles()) {
    const file = readAuthFile(path);
    if (!file) continue;
    for (const key of keysFor(repository)) {
      const helper = lookUp(file.credHelpers, key) ?? (key.includes("/") ? undefined : file.credsStore);
      try {
        const found = (helper && (await askHelper(helper, key))) || decodeEntry(lookUp(file.auths, key), path);
        if (found) return { credentials: found };
      } catch (error) {
        problem ??= formatError(error);
      }
    }
  }
  return { problem };
}

function authFiles(): string[] {
  const paths = [
    config.registryAuthFile,
    config.xdgRuntimeDir && join(config.xdgRuntimeDir, "containers/auth.json"),
    join(config.xdgConfigHome, "containers/auth.json"),
    join(config.dockerConfigDir, "config.json"),
  ];
  return paths.filter((path): path is string => Boolean(path));
}

function readAuthFile(path: string): AuthFile | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw new PodError(`read credentials from ${path}`, { cause: error });
  }
  try {
    return JSON.parse(text) as AuthFile;
  } catch {
    throw new PodError(`${path} is not valid JSON`); // the parser's words would show a piece of the file
  }
}

/** `quay.io/org/app`, `quay.io/org`, `quay.io`. */
function keysFor(repository: string): string[] {
  const parts = repository.split("/");
  return parts.map((_, index) => parts.slice(0, parts.length - index).join("/"));
}

/** Docker also writes keys as URLs: `https://index.docker.io/v1/`, `https://host:5000`. */
function lookUp<T>(entries: Record<string, T> | undefined, wanted: string): T | undefined {
  if (!entries) return undefined;
  if (Object.hasOwn(entries, wanted)) return entries[wanted];
  return Object.entries(entries).find(([key]) => normalizeKey(key) === wanted)?.[1];
}

function normalizeKey(key: string): string {
  const plain = key.replace(/^https?:\/\//, "").replace(/\/(v[12]\/?)?$/, "");
  return /^(index|registry-1)\.docker\.io$/.test(plain) ? "docker.io" : plain;
}

function decodeEntry(entry: NonNullable<AuthFile["auths"]>[string] | undefined, path: string): Credentials | undefined {
  if (!entry) return undefined;
  if (entry.identitytoken) return { identityToken: entry.identitytoken };
  if (entry.auth) {
    const text = Buffer.from(entry.auth, "base64").toString("utf8");
    const colon = text.indexOf(":");
    if (colon < 1) throw new PodError(`${path} holds an "auth" that is not base64 of user:password`);
    return { username: text.slice(0, colon), password: text.slice(colon + 1) };
  }
  return entry.username ? { username: entry.username, password: entry.password ?? "" } : undefined;
}

/** docker-credential-helpers' protocol: the server's name on stdin, JSON on stdout; exit 1 with `credentials not found …`. */
async function askHelper(helper: string, key: string): Promise<Credentials | undefined> {
  const program = `docker-credential-${helper}`;
  const server = key === "docker.io" ? "https://index.docker.io/v1/" : key;
  if (helper.includes("/") || !Bun.which(program, { PATH: config.path })) {
    throw new PodError(`credential helper ${program} is not in PATH`);
  }
  const child = Bun.spawn([program, "get"], { stdin: Buffer.from(server), stdout: "pipe", stderr: "ignore" });
  const [answer, exitCode] = await Promise.all([child.stdout.text(), child.exited]);
  if (exitCode !== 0) {
    if (/credentials not found/i.test(answer)) return undefined;
    throw new PodError(`credential helper ${program} failed with exit code ${exitCode}`);
  }
  const { Username, Secret } = parseAnswer(program, answer);
  if (!Secret) return undefined;
  return Username === "<token>" ? { identityToken: Secret } : { username: Username ?? "", password: Secret };
}

function parseAnswer(program: string, answer: string): { Username?: string; Secret?: string } {
  try {
    return JSON.parse(answer) as { Username?: string; Secret?: string };
  } catch {
    throw new PodError(`credential helper ${program} did not answer with JSON`); // its answer may hold the secret
  }
}
