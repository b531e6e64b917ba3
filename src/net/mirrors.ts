/** Where a repository is asked for: its mirrors and itself, from containers-registries.conf(5) and Docker's daemon.json. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { config } from "../config.ts";
import { hasCode, PodError } from "../errors.ts";
import { defaultDomain, type Reference } from "../reference.ts";

/** One place that may hold the repository. */
export interface Endpoint {
  /** Tried in this order: `https://host:port` and, where allowed, `http://host:port`; a mirror's may end in a path. */
  bases: string[];
  /** The repository's name there. */
  repository: string;
  /** Key for the user's credentials: `host:port/repository`. */
  account: string;
  /** Certificates are not verified and plain HTTP may do. */
  insecure: boolean;
  isMirror: boolean;
}

/** The part of containers-registries.conf(5) that pod reads. Unqualified names mean docker.io, as in Docker. */
interface RegistryEntry {
  prefix?: string;
  location?: string;
  insecure?: boolean;
  blocked?: boolean;
  "mirror-by-digest-only"?: boolean;
  mirror?: { location: string; insecure?: boolean; "pull-from-mirror"?: "all" | "digest-only" | "tag-only" }[];
}

interface DaemonConfig {
  "registry-mirrors"?: string[];
  "insecure-registries"?: string[];
}

const hubApiHost = "registry-1.docker.io";

/** Mirrors first, the registry itself last. Throws PodError where the configuration blocks it or can't be read. */
export function endpointsFor(reference: Reference): Endpoint[] {
  const name = `${reference.domain}/${reference.path}`;
  const entry = longestMatch(readRegistries(), reference);
  if (entry?.blocked) throw new PodError(`registry ${reference.domain} is blocked by ${entry.file}`);
  const daemon = readDaemonConfig();
  const insecure = (host: string, flag?: boolean) => flag === true || isLoopback(host) || isListed(daemon, host);

  const endpoints: Endpoint[] = [];
  for (const mirror of entry?.mirror ?? []) {
    const which = entry?.["mirror-by-digest-only"] ? "digest-only" : (mirror["pull-from-mirror"] ?? "all");
    if (which === (reference.digest ? "tag-only" : "digest-only")) continue;
    const place = split(mirror.location + name.slice(entry!.matched.length));
    endpoints.push(toEndpoint(place, insecure(place.host, mirror.insecure), true));
  }
  if (reference.domain === defaultDomain) {
    for (const url of daemon["registry-mirrors"] ?? []) endpoints.push(daemonMirror(url, reference.path, insecure));
  }
  const place = split(entry?.location ? entry.location + name.slice(entry.matched.length) : name);
  endpoints.push(toEndpoint(place, insecure(place.host, entry?.insecure), false));
  return endpoints;
}

function split(location: string): { host: string; repository: string } {
  const slash = location.indexOf("/");
  return { host: location.slice(0, slash), repository: location.slice(slash + 1) };
}

function toEndpoint(place: { host: string; repository: string }, insecure: boolean, isMirror: boolean): Endpoint {
  const { host, repository } = place;
  const apiHost = host === defaultDomain ? hubApiHost : host;
  const bases = insecure ? [`https://${apiHost}`, `http://${apiHost}`] : [`https://${apiHost}`];
  return { bases, repository, account: `${host}/${repository}`, insecure, isMirror };
}

/** Docker's mirrors are URLs: the scheme is fixed. */
function daemonMirror(url: string, repository: string, insecure: (host: string) => boolean): Endpoint {
  if (!/^https?:/.test(url) || !URL.canParse(url)) {
    throw new PodError(`${daemonPath()}: registry-mirrors: ${JSON.stringify(url)} is not a URL`);
  }
  const { protocol, host, pathname } = new URL(url);
  const base = `${protocol}//${host}${pathname.replace(/\/+$/, "")}`;
  return {
    bases: [base],
    repository,
    account: `${host}/${repository}`,
    insecure: protocol === "http:" || insecure(host),
    isMirror: true,
  };
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(host);
}

/** Docker's list holds hosts, hosts with a port, and networks like 10.0.0.0/8. */
function isListed(daemon: DaemonConfig, host: string): boolean {
  const name = host.replace(/:\d+$/, "");
  return (daemon["insecure-registries"] ?? []).some((item) => {
    const plain = item.replace(/^https?:\/\//, "").replace(/\/$/, "");
    return plain === host || plain === name || inNetwork(name, plain);
  });
}

function inNetwork(address: string, network: string): boolean {
  const match = /^([\d.]+)\/(\d{1,2})$/.exec(network);
  const [base, value] = [toNumber(match?.[1]), toNumber(address)];
  if (!match || base === undefined || value === undefined) return false;
  const blockSize = 2 ** (32 - Number(match[2]));
  return Math.floor(base / blockSize) === Math.floor(value / blockSize);
}

function toNumber(address: string | undefined): number | undefined {
  const parts = address?.split(".").map(Number);
  if (parts?.length !== 4 || !parts.every((part) => part >= 0 && part <= 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

type MatchedEntry = RegistryEntry & { file: string; matched: string };

/** The entry whose prefix covers most of the reference; of equal prefixes the one read last. */
function longestMatch(entries: (RegistryEntry & { file: string })[], reference: Reference): MatchedEntry | undefined {
  let best: MatchedEntry | undefined;
  for (const entry of entries) {
    const matched = matchPrefix(entry.prefix || entry.location || "", reference);
    if (matched && matched.length >= (best?.matched.length ?? 0)) best = { ...entry, matched };
  }
  return best;
}

/** What of `domain/path` the prefix covers: whole components; `*.example.com` covers the host's name only. */
function matchPrefix(prefix: string, { domain, path }: Reference): string | undefined {
  if (prefix.startsWith("*.")) return domain.endsWith(prefix.slice(1)) ? domain : undefined;
  const name = `${domain}/${path}`;
  return prefix && (name === prefix || name.startsWith(`${prefix}/`)) ? prefix : undefined;
}

/** The main file, then the drop-ins; a later entry replaces an earlier one of the same prefix. */
function readRegistries(): (RegistryEntry & { file: string })[] {
  const user = join(config.xdgConfigHome, "containers/registries.conf");
  const system = "/etc/containers/registries.conf";
  const main = (config.registriesConf ? [config.registriesConf] : [user, system]).find(
    (path) => read(path) !== undefined,
  );
  if (config.registriesConf && !main) {
    throw new PodError(`CONTAINERS_REGISTRIES_CONF names ${config.registriesConf}, which does not exist`);
  }
  const files = [...(main ? [main] : []), ...dropIns(`${system}.d`), ...dropIns(`${user}.d`)];
  return files.flatMap((file) => parseRegistries(file).map((entry) => ({ ...entry, file })));
}

function parseRegistries(file: string): RegistryEntry[] {
  let parsed: { registry?: unknown; registries?: unknown };
  try {
    parsed = Bun.TOML.parse(read(file) ?? "") as typeof parsed;
  } catch (error) {
    throw new PodError(`${file} is not valid TOML`, { cause: error });
  }
  if (parsed.registries) {
    throw new PodError(`${file} has the old form with [registries.search]`, {
      hint: "containers-registries.conf(5) describes version 2, with [[registry]] tables",
    });
  }
  const entries = parsed.registry ?? [];
  if (!Array.isArray(entries) || !entries.every(isEntry)) {
    throw new PodError(
      `${file}: each [[registry]] needs a prefix or location, each [[registry.mirror]] a location, all text`,
    );
  }
  return entries;
}

function isEntry(value: unknown): value is RegistryEntry {
  const { prefix, location, mirror = [] } = value as Record<string, unknown>;
  const isText = (field: unknown) => typeof field === "string" && field !== "" && !field.includes("://");
  const named = [prefix, location].filter((field) => field !== undefined);
  const wellNamed = named.length > 0 && named.every(isText);
  return (
    wellNamed && Array.isArray(mirror) && mirror.every((item) => isText((item as { location?: unknown }).location))
  );
}

function readDaemonConfig(): DaemonConfig {
  const text = read(daemonPath());
  if (!text?.trim()) return {};
  try {
    return JSON.parse(text) as DaemonConfig;
  } catch (error) {
    throw new PodError(`${daemonPath()} is not valid JSON`, { cause: error });
  }
}

function daemonPath(): string {
  return join(config.xdgConfigHome, "docker/daemon.json"); // where rootless Docker has it
}

function dropIns(directory: string): string[] {
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith(".conf"));
    return names.sort().map((name) => join(directory, name));
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return [];
    throw new PodError(`read ${directory}`, { cause: error });
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw new PodError(`read ${path}`, { cause: error });
  }
}
