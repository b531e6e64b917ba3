/** Where a repository is asked for: its mirrors and itself, from containers-registries.conf(5) and Docker's daemon.json. */

import { join } from "node:path";
import { config } from "../config.ts";
import { PodError } from "../errors.ts";
import { defaultDomain, type Reference } from "../reference.ts";
import { type RegistryEntry, readIfThere, readRegistries } from "../registries.ts";
import { inNetwork, isLoopback } from "./addresses.ts";

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

interface DaemonConfig {
  "registry-mirrors"?: string[];
  "insecure-registries"?: string[];
}

const hubApiHost = "registry-1.docker.io";

/** Mirrors first, the registry itself last. Throws PodError where the configuration blocks it or can't be read. */
export function endpointsFor(reference: Reference): Endpoint[] {
  const name = `${reference.domain}/${reference.path}`;
  const entry = longestMatch(readRegistries().entries, reference);
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
  if (isLoopback(host)) bases.reverse(); // nobody listens on the way, and TLS is rare there
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

/** Docker's list holds hosts, hosts with a port, and networks like 10.0.0.0/8. */
function isListed(daemon: DaemonConfig, host: string): boolean {
  const name = host.replace(/:\d+$/, "");
  return (daemon["insecure-registries"] ?? []).some((item) => {
    const plain = item.replace(/^https?:\/\//, "").replace(/\/$/, "");
    return plain === host || plain === name || inNetwork(name, plain);
  });
}

type MatchedEntry = RegistryEntry & { matched: string };

/** The entry whose prefix covers most of the reference; of equal prefixes the one read last. */
function longestMatch(entries: RegistryEntry[], reference: Reference): MatchedEntry | undefined {
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

function readDaemonConfig(): DaemonConfig {
  const text = readIfThere(daemonPath());
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
