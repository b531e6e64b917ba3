/** What containers-registries.conf(5) says: files turned into data. */

import { join } from "node:path";
import { config } from "./config.ts";
import { hasCode, PodError } from "./errors.ts";
import { readdirSync, readFileSync } from "./ns/sys/fs.ts";

/** A `[[registry]]` table. At least one of prefix and location is there. */
export interface RegistryEntry {
  /** `quay.io/team`, or `*.example.com`. */
  prefix?: string;
  /** Replaces the prefix. */
  location?: string;
  insecure?: boolean;
  blocked?: boolean;
  "mirror-by-digest-only"?: boolean;
  mirror?: { location: string; insecure?: boolean; "pull-from-mirror"?: "all" | "digest-only" | "tag-only" }[];
  /** Where it stands. */
  file: string;
}

export interface Registries {
  /** A later entry replaces an earlier one of the same prefix. */
  entries: RegistryEntry[];
  /** `unqualified-search-registries`; empty where the files are silent. */
  searched: string[];
  /** Names without a registry → repositories in full: `fedora` → `registry.fedoraproject.org/fedora`. */
  aliases: Map<string, string>;
}

interface RegistriesFile {
  registry?: unknown;
  registries?: unknown;
  "unqualified-search-registries"?: unknown;
  aliases?: unknown;
}

/** The main file, then the drop-ins, then the aliases that podman has recorded. Throws PodError where one can't be read. */
export function readRegistries(): Registries {
  const user = join(config.xdgConfigHome, "containers/registries.conf");
  const system = "/etc/containers/registries.conf";
  const main = (config.registriesConf ? [config.registriesConf] : [user, system]).find(
    (path) => readIfThere(path) !== undefined,
  );
  if (config.registriesConf && !main) {
    throw new PodError(`CONTAINERS_REGISTRIES_CONF names ${config.registriesConf}, which does not exist`);
  }
  const result: Registries = { entries: [], searched: [], aliases: new Map() };
  const files = [...(main ? [main] : []), ...dropIns(`${system}.d`), ...dropIns(`${user}.d`)];
  for (const file of [...files, join(config.xdgCacheHome, "containers/short-name-aliases.conf")]) addFile(result, file);
  return result;
}

/** The file's text, or undefined where there is none. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw new PodError(`read ${path}`, { cause: error });
  }
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

function addFile(result: Registries, file: string): void {
  const parsed = parse(file);
  result.entries.push(...toEntries(parsed.registry ?? [], file));
  const searched = parsed["unqualified-search-registries"];
  if (searched !== undefined && !(Array.isArray(searched) && searched.every(isPlace))) {
    throw new PodError(`${file}: unqualified-search-registries is not a list of registries`);
  }
  result.searched = searched ?? result.searched;
  for (const [name, value] of Object.entries(parsed.aliases ?? {})) {
    if (typeof value !== "string") throw new PodError(`${file}: the alias ${name} is not text`);
    if (value) result.aliases.set(name, value);
    else result.aliases.delete(name);
  }
}

function parse(file: string): RegistriesFile {
  let parsed: RegistriesFile;
  try {
    parsed = Bun.TOML.parse(readIfThere(file) ?? "") as RegistriesFile;
  } catch (error) {
    if (error instanceof PodError) throw error;
    throw new PodError(`${file} is not valid TOML`, { cause: error });
  }
  if (parsed.registries) {
    throw new PodError(`${file} has the old form with [registries.search]`, {
      hint: "containers-registries.conf(5) describes version 2, with [[registry]] tables",
    });
  }
  return parsed;
}

function toEntries(entries: unknown, file: string): RegistryEntry[] {
  if (!Array.isArray(entries) || !entries.every(isEntry)) {
    throw new PodError(
      `${file}: each [[registry]] needs a prefix or location, each [[registry.mirror]] a location, all text`,
    );
  }
  for (const entry of entries) checkMirrors(entry, file);
  return entries.map((entry) => ({ ...entry, file }));
}

/** A location may only be left out where the prefix is itself one. */
function isEntry(value: unknown): value is Omit<RegistryEntry, "file"> {
  const { prefix, location, mirror = [], insecure, blocked } = value as Record<string, unknown>;
  const named = [prefix, location].filter((field) => field !== undefined);
  const flags = [insecure, blocked].every((flag) => flag === undefined || typeof flag === "boolean");
  const hasMirrors =
    Array.isArray(mirror) && mirror.every((item) => isPlace((item as { location?: unknown }).location));
  return flags && named.length > 0 && named.every(isPlace) && hasMirrors;
}

function isPlace(field: unknown): field is string {
  return typeof field === "string" && field !== "" && !field.includes("://");
}

function checkMirrors({ prefix, location, mirror = [], ...entry }: Omit<RegistryEntry, "file">, file: string): void {
  for (const { location: place, "pull-from-mirror": which } of mirror) {
    if (which !== undefined && !["all", "digest-only", "tag-only"].includes(which)) {
      throw new PodError(`${file}: unsupported pull-from-mirror value ${JSON.stringify(which)} for mirror ${place}`);
    }
    if (which !== undefined && entry["mirror-by-digest-only"]) {
      const name = prefix ?? location;
      throw new PodError(
        `${file}: ${name} has mirror-by-digest-only, and its mirror ${place} pull-from-mirror: one of them`,
      );
    }
  }
}
