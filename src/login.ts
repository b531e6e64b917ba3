/** Logins: tried at the registry, then kept in the file or the credential helper where docker and podman find them too. */

import { mkdirSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import { config } from "./config.ts";
import { formatError, hasCode, UsageError } from "./errors.ts";
import {
  type AuthEntry,
  type AuthFile,
  authFiles,
  dockerConfigFile,
  helperFor,
  hubKey,
  lookUp,
  normalizeKey,
  readAuthFile,
} from "./net/authfiles.ts";
import { type Credentials, findCredentials } from "./net/credentials.ts";
import { eraseFromHelper, storeInHelper } from "./net/helpers.ts";
import { tryLogin } from "./net/login.ts";
import { O_DIRECTORY, O_RDONLY } from "./ns/constants.ts";
import { close, lock, open } from "./ns/sys/file.ts";
import { defaultDomain } from "./reference.ts";
import { writeFileAtomic } from "./storage/files.ts";

/** Where a login was put: a file's path where it lies there unencrypted, else the helper's name. */
export type Kept = { file: string } | { helper: string };

/** `docker.io`, `host:5000`, perhaps with a namespace (`quay.io/org`), from any way of naming a registry; undefined is Docker Hub. */
export function registryKey(server: string | undefined): string {
  const key = normalizeKey(server ?? defaultDomain);
  if (!/^[^/\s@]+(\/[^\s@]+)?$/.test(key))
    throw new UsageError(`${JSON.stringify(server)} is not the name of a registry`);
  return key;
}

/** How Docker names the registry in its texts: its Hub by a URL. */
export function serverName(key: string): string {
  return key === defaultDomain ? hubKey : key;
}

/**
 * Logs in and keeps what is needed for later commands. The place is REGISTRY_AUTH_FILE where that is set, else the file that has
 * a login for this registry already, else Docker's config.json. Throws RegistryError where the registry refuses.
 */
export async function login(key: string, credentials: Credentials): Promise<Kept> {
  const kept = await tryLogin(hostOf(key), credentials);
  const hasLogin = (path: string) => lookUp(readAuthFile(path)?.auths, key) !== undefined;
  const path = config.registryAuthFile || (authFiles().find(hasLogin) ?? dockerConfigFile());
  const helper = helperFor(readAuthFile(path) ?? {}, key);
  if (helper) await storeInHelper(helper, key, kept);
  const entry = helper ? {} : toEntry(kept, credentials); // docker, too, leaves an empty entry beside a helper
  changeAuthFile(path, (file) => ({ ...file, auths: { ...without(file.auths, key), [keyIn(path, key)]: entry } }));
  return helper ? { helper } : { file: path };
}

/** Whether the registry takes what is kept for it. */
export async function tryAgain(key: string, credentials: Credentials): Promise<void> {
  await tryLogin(hostOf(key), credentials);
}

/** What is kept for the registry; undefined where nothing is. */
export async function currentLogin(key: string): Promise<Credentials | undefined> {
  return (await findCredentials(key)).credentials;
}

/** Forgets the login in every file that is read, and in the helpers that these name. Returns what could not be done. */
export async function logout(key: string): Promise<string[]> {
  const problems: string[] = [];
  for (const path of authFiles()) {
    const file = readAuthFile(path);
    if (!file) continue;
    problems.push(...(await eraseFrom(file, [key])));
    if (lookUp(file.auths, key)) changeAuthFile(path, (now) => ({ ...now, auths: without(now.auths, key) }));
  }
  return problems;
}

/** The same for all registries. */
export async function logoutAll(): Promise<string[]> {
  const problems: string[] = [];
  for (const path of authFiles()) {
    const file = readAuthFile(path);
    if (!file) continue;
    const keys = [...Object.keys(file.auths ?? {}), ...Object.keys(file.credHelpers ?? {})].map(normalizeKey);
    problems.push(...(await eraseFrom(file, [...new Set(keys)])));
    if (file.auths) changeAuthFile(path, (now) => ({ ...now, auths: {} }));
  }
  return problems;
}

async function eraseFrom(file: AuthFile, keys: string[]): Promise<string[]> {
  const problems: string[] = [];
  for (const key of keys) {
    const helper = helperFor(file, key);
    if (helper) await eraseFromHelper(helper, key).catch((error) => problems.push(formatError(error)));
  }
  return problems;
}

function hostOf(key: string): string {
  return key.split("/")[0]!;
}

function toEntry(kept: Credentials, { ...given }: Credentials): AuthEntry {
  if ("identityToken" in kept) {
    const name = "username" in given ? { auth: encode(given.username, "") } : {}; // docker keeps the name beside the token
    return { ...name, identitytoken: kept.identityToken };
  }
  return { auth: encode(kept.username, kept.password) };
}

function encode(username: string, password: string): string {
  return Buffer.from(`${username}:${password}`).toString("base64");
}

/** Docker's file has its own name for the Hub. */
function keyIn(path: string, key: string): string {
  return path === dockerConfigFile() ? serverName(key) : key;
}

function without<T>(entries: Record<string, T> | undefined, key: string): Record<string, T> {
  return Object.fromEntries(Object.entries(entries ?? {}).filter(([name]) => normalizeKey(name) !== key));
}

/** Rewrites the file whole, readable to the user alone; what others wrote into it stays. A symbolic link stays one. */
function changeAuthFile(path: string, change: (file: AuthFile) => AuthFile): void {
  const target = resolveLink(path);
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  const folder = open(dirname(target), O_RDONLY | O_DIRECTORY);
  try {
    lock(folder, "exclusive"); // two logins at once keep both
    const changed = change(readAuthFile(target) ?? {});
    writeFileAtomic(target, `${JSON.stringify(changed, undefined, "\t")}\n`, 0o600);
  } finally {
    close(folder);
  }
}

function resolveLink(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return path;
    throw error;
  }
}
