/** Secrets: `secrets/<name>.json`, mode 0600. */

import { join } from "node:path";
import { ConflictError, NotFoundError, UsageError } from "../errors.ts";
import { readdirSync, rmSync } from "../ns/sys/fs.ts";
import { readJson, withLock, writeFileAtomic } from "./files.ts";
import { paths } from "./store.ts";

export interface SecretRecord {
  version: 1;
  /** 25 hexadecimal digits, as podman's. */
  id: string;
  name: string;
  /** RFC 3339, UTC. */
  created: string;
  updated: string;
  labels: Record<string, string>;
  /** base64 */
  data: string;
}

const maximumBytes = 512_000; // podman's and swarm's

/** Records a secret. ConflictError where the name is taken and not to be replaced; UsageError for a bad name or size. */
export function putSecret(
  name: string,
  data: Uint8Array,
  { labels, replace }: { labels: Record<string, string>; replace: boolean },
): SecretRecord {
  checkSecretName(name);
  if (data.length === 0 || data.length >= maximumBytes) {
    throw new UsageError(`secret data must be larger than 0 and less than ${maximumBytes} bytes`);
  }
  return withLock("secrets", () => {
    const former = readRecord(name);
    if (former && !replace) throw new ConflictError(`creating secret ${name}: secret name in use`);
    const updated = new Date().toISOString();
    const id = Buffer.from(crypto.getRandomValues(new Uint8Array(13)))
      .toString("hex")
      .slice(0, 25);
    const base64 = Buffer.from(data).toString("base64");
    const record: SecretRecord = {
      version: 1,
      id,
      name,
      created: former?.created ?? updated,
      updated,
      labels,
      data: base64,
    };
    writeFileAtomic(fileOf(name), JSON.stringify(record), 0o600);
    return record;
  });
}

/** podman's rule and text. */
function checkSecretName(name: string): void {
  if (/^[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9])?$/.test(name)) return;
  throw new UsageError(
    `invalid secret name ${JSON.stringify(name)}: only [a-zA-Z0-9-_.] characters are allowed, and the start and end character must be [a-zA-Z0-9]`,
  );
}

export function listSecrets(): SecretRecord[] {
  return readdirSync(paths.secrets)
    .toSorted()
    .map((file) => readRecord(file.replace(/\.json$/, "")))
    .filter((secret) => secret !== undefined);
}

/** By name, id, or a prefix of the id that fits one only. Throws NotFoundError or ConflictError. */
export function findSecret(text: string): SecretRecord {
  const named = readRecord(text);
  if (named) return named;
  const fitting = /^[0-9a-f]+$/.test(text) ? listSecrets().filter(({ id }) => id.startsWith(text)) : [];
  if (fitting.length > 1) throw new ConflictError(`more than one secret has an id that begins with ${text}`);
  if (fitting[0]) return fitting[0];
  throw new NotFoundError(`no secret with name or id ${JSON.stringify(text)}: no such secret`);
}

/** Its bytes. */
export function readSecret(name: string): Buffer {
  return Buffer.from(findSecret(name).data, "base64");
}

export function deleteSecret({ name }: SecretRecord): void {
  rmSync(fileOf(name), { force: true });
}

function readRecord(name: string): SecretRecord | undefined {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) ? readJson<SecretRecord>(fileOf(name)) : undefined;
}

function fileOf(name: string): string {
  return join(paths.secrets, `${name}.json`);
}
