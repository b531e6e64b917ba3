/** The files that hold logins: containers-auth.json(5), and Docker's config.json with the same fields. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { config } from "../config.ts";
import { hasCode, PodError } from "../errors.ts";

export interface AuthFile {
  auths?: Record<string, AuthEntry>;
  credHelpers?: Record<string, string>;
  credsStore?: string;
  /** Fields of other programs. */
  [other: string]: unknown;
}

export interface AuthEntry {
  /** Base64 of `user:password`. */
  auth?: string;
  username?: string;
  password?: string;
  identitytoken?: string;
}

/** Docker's key for its Hub, in config.json and for credential helpers; containers' files have `docker.io`. */
export const hubKey = "https://index.docker.io/v1/";

/** Where logins are looked for, the first file first: the order of containers-auth.json(5). */
export function authFiles(): string[] {
  const paths = [
    config.registryAuthFile,
    config.xdgRuntimeDir && join(config.xdgRuntimeDir, "containers/auth.json"),
    join(config.xdgConfigHome, "containers/auth.json"),
    dockerConfigFile(),
  ];
  return paths.filter((path): path is string => Boolean(path));
}

export function dockerConfigFile(): string {
  return join(config.dockerConfigDir, "config.json");
}

/** Undefined where there is no such file. Throws PodError, without a word of the content. */
export function readAuthFile(path: string): AuthFile | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw new PodError(`read credentials from ${path}`, { cause: error });
  }
  if (!text.trim()) return {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed && !Array.isArray(parsed)) return parsed as AuthFile;
  } catch {
    // said below: the parser's words would show a piece of the file
  }
  throw new PodError(`${path} is not valid JSON`);
}

/** The entry of that registry or repository. Docker also writes keys as URLs: `https://index.docker.io/v1/`, `https://host:5000`. */
export function lookUp<T>(entries: Record<string, T> | undefined, wanted: string): T | undefined {
  return Object.entries(entries ?? {}).find(([key]) => normalizeKey(key) === wanted)?.[1];
}

/** `docker.io`, `host:5000`, `quay.io/org`, from any way of writing it. */
export function normalizeKey(key: string): string {
  const plain = key.replace(/^https?:\/\//, "").replace(/\/(v[12]\/?)?$/, "");
  return /^(index|registry-1)\.docker\.io$/.test(plain) ? "docker.io" : plain;
}

/** The name of the credential helper that keeps the login of `key`; one for all is not asked for parts of a registry. */
export function helperFor(file: AuthFile, key: string): string | undefined {
  return lookUp(file.credHelpers, key) ?? (key.includes("/") ? undefined : file.credsStore);
}
