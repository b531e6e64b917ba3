/** Manifests that refer to another one: distribution spec 1.1, "Listing Referrers", with its fallback for older registries. */

import { RegistryError } from "../errors.ts";
import { type Descriptor, type Index, mediaTypes } from "../spec.ts";
import type { Connection } from "./connection.ts";
import { readWhole } from "./http.ts";

const limitBytes = 4 << 20;

/** What the registry says refers to the manifest; none where it can't say. */
export async function readReferrers(connection: Connection, digest: string): Promise<Descriptor[]> {
  return (await readEntries(connection, `referrers/${digest}`)) ?? (await readTagged(connection, digest));
}

/** Adds the referrer to the tag that stands for the registry's own list: for registries without one. */
export async function tagReferrer(connection: Connection, subject: string, referrer: Descriptor): Promise<void> {
  const entries = (await readTagged(connection, subject)).filter(({ digest }) => digest !== referrer.digest);
  const index: Index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [...entries, referrer] };
  const headers = { "content-type": mediaTypes.index };
  const body = Buffer.from(JSON.stringify(index));
  const response = await connection.ask(`manifests/${tagOf(subject)}`, { method: "PUT", headers, body });
  await response.body?.cancel();
}

async function readTagged(connection: Connection, digest: string): Promise<Descriptor[]> {
  return (await readEntries(connection, `manifests/${tagOf(digest)}`)) ?? [];
}

/** Undefined where there is no such list. */
async function readEntries(connection: Connection, path: string): Promise<Descriptor[] | undefined> {
  try {
    const response = await connection.retry(() => connection.ask(path, { headers: { accept: mediaTypes.index } }));
    const bytes = await readWhole(response, limitBytes, `${path} of ${connection.host}`);
    const { manifests } = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Index>;
    return Array.isArray(manifests) ? manifests : undefined;
  } catch (error) {
    const isMissing = error instanceof RegistryError && error.status >= 400 && error.status < 500;
    if (isMissing || error instanceof SyntaxError) return undefined; // a registry that knows no referrers may answer anything
    throw error;
  }
}

function tagOf(digest: string): string {
  return digest.replace(":", "-");
}
