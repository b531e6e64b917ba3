/** The pulling side of the OCI distribution spec 1.1: manifests and blobs of one repository, from the first endpoint that has them. */

import { formatError, RegistryError } from "../errors.ts";
import { familiarName, isDigest, type Reference } from "../reference.ts";
import { type Descriptor, mediaTypes } from "../spec.ts";
import { Connection } from "./connection.ts";
import { readBody, readWhole } from "./http.ts";
import { endpointsFor } from "./mirrors.ts";
import { readPages } from "./pages.ts";
import { readReferrers } from "./referrers.ts";
import { missingAndUnreachable } from "./refusal.ts";

/** A manifest or an index, its digest verified. */
export interface Document {
  bytes: Uint8Array;
  mediaType: string;
  digest: string;
}

export interface Repository {
  /** The manifest or index of that tag or digest. RegistryError in Docker's words where there is none. */
  manifest(tagOrDigest: string): Promise<Document>;
  /** The digest that a tag has now; undefined where the registry doesn't say (then `manifest` tells more). */
  currentDigest(tag: string): Promise<string | undefined>;
  /** Manifests that name this one as their subject: signatures, bills of materials. */
  referrers(digest: string): Promise<Descriptor[]>;
  /** All tags. RegistryError where there is no such repository. */
  tags(): Promise<string[]>;
  /** A blob of at most 4 MiB, its digest verified. */
  smallBlob(descriptor: Descriptor): Promise<Uint8Array>;
  /** The blob's bytes from `offset` on; where the connection breaks, asks for the rest. Their digest is the caller's to verify. */
  blob(descriptor: Descriptor, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array>;
}

const documentLimitBytes = 4 << 20; // distribution spec 1.1: registries must take manifests up to 4 MiB
const progressBytes = 1 << 20; // after so much more of a blob its attempts are counted anew
const accept = [mediaTypes.index, mediaTypes.manifest, mediaTypes.dockerManifestList, mediaTypes.dockerManifest].join(
  ", ",
);
const schema1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)/;

/** Opens the reference's repository; nothing is sent yet. `note` is told when pod waits, or turns from a mirror to the next. */
export function openRepository(reference: Reference, note: (text: string) => void): Repository {
  let connections = endpointsFor(reference).map((endpoint) => new Connection(endpoint, reference, note));
  const turnFrom = (connection: Connection, error: RegistryError) => {
    if (error.status !== 404) note(`mirror ${connection.host}: ${formatError(error)}`);
  };

  return {
    async manifest(tagOrDigest) {
      return await firstOf(connections, turnFrom, async (connection) => {
        const document = await connection.retry(() => getManifest(connection, reference, tagOrDigest));
        connections = connections.slice(connections.indexOf(connection)); // those before don't have the image
        return document;
      });
    },
    async currentDigest(tag) {
      return await firstOf(connections, turnFrom, (connection) => headManifest(connection, tag));
    },
    async referrers(digest) {
      return await firstOf(connections, turnFrom, (connection) => readReferrers(connection, digest));
    },
    async tags() {
      return await firstOf(connections, turnFrom, (connection) => readPages(connection, "tags/list", "tags"));
    },
    async smallBlob(descriptor) {
      return await firstOf(connections, turnFrom, (connection) =>
        connection.retry(() => getSmallBlob(connection, descriptor)),
      );
    },
    async *blob(descriptor, offset, signal) {
      const progress = { offset };
      for (const [index, connection] of connections.entries()) {
        try {
          return yield* readBlob(connection, descriptor, progress, signal);
        } catch (error) {
          const isLast = index + 1 === connections.length;
          if (isLast || signal.aborted || !(error instanceof RegistryError)) throw error;
          turnFrom(connection, error);
        }
      }
    },
  };
}

/** The action's result at the first endpoint where it succeeds; the last endpoint's error is the answer to the user. */
async function firstOf<T>(
  connections: Connection[],
  turnFrom: (connection: Connection, error: RegistryError) => void,
  action: (connection: Connection) => Promise<T>,
): Promise<T> {
  let missing: { error: RegistryError; host: string } | undefined;
  for (const [index, connection] of connections.entries()) {
    try {
      return await action(connection);
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      if (index + 1 < connections.length) {
        turnFrom(connection, error);
        if (error.status === 404) missing = { error, host: connection.host };
      } else if (error.status === 0 && missing) {
        throw missingAndUnreachable(missing.error, missing.host, error, connection.host);
      } else {
        throw error;
      }
    }
  }
  throw new Error("a repository has at least one endpoint");
}

async function getManifest(connection: Connection, reference: Reference, tagOrDigest: string): Promise<Document> {
  const response = await connection.ask(`manifests/${tagOrDigest}`, { headers: { accept } });
  const what = `the manifest of ${familiarName(reference)}`;
  const bytes = await readWhole(response, documentLimitBytes, what);
  const stated = response.headers.get("docker-content-digest");
  const wanted = isDigest(tagOrDigest) ? tagOrDigest : stated && isDigest(stated) ? stated : undefined;
  const digest = digestOf(bytes, wanted);
  if (wanted && digest !== wanted) throw wrongDigest(what, wanted, digest);

  const mediaType = mediaTypeOf(bytes, response, what);
  if (schema1.test(mediaType)) {
    throw new RegistryError(`${what} is in Docker's schema 1, which was replaced in 2015`, response.status, {
      hint: "push the image again with a present tool",
    });
  }
  if (!accept.includes(mediaType))
    throw new RegistryError(`${what} has unsupported media type ${mediaType}`, response.status);
  return { bytes, mediaType, digest };
}

/** The document's own word first (image-spec: mediaType), else the header's; a document with neither is told by its shape. */
function mediaTypeOf(bytes: Uint8Array, response: Response, what: string): string {
  let document: { schemaVersion?: unknown; mediaType?: unknown; manifests?: unknown } | null;
  try {
    document = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new RegistryError(`${what} is not JSON`, response.status);
  }
  if (document?.schemaVersion === 1) return "application/vnd.docker.distribution.manifest.v1+json";
  if (typeof document?.mediaType === "string") return document.mediaType;
  const header = response.headers.get("content-type")?.split(";")[0]?.trim() ?? "";
  if (accept.includes(header) && header) return header;
  return Array.isArray(document?.manifests) ? mediaTypes.index : mediaTypes.manifest;
}

async function headManifest(connection: Connection, tag: string): Promise<string | undefined> {
  try {
    const response = await connection.ask(`manifests/${tag}`, { method: "HEAD", headers: { accept } });
    const digest = response.headers.get("docker-content-digest") ?? "";
    return isDigest(digest) ? digest : undefined;
  } catch (error) {
    if (error instanceof RegistryError && error.status !== 0 && !connection.endpoint.isMirror) return undefined;
    throw error;
  }
}

async function getSmallBlob(connection: Connection, descriptor: Descriptor): Promise<Uint8Array> {
  const what = `blob ${descriptor.digest}`;
  const response = await connection.ask(`blobs/${descriptor.digest}`, {});
  const bytes = await readWhole(response, documentLimitBytes, what);
  const digest = digestOf(bytes, descriptor.digest);
  if (digest !== descriptor.digest) throw wrongDigest(what, descriptor.digest, digest);
  return bytes;
}

/** From one endpoint; `progress.offset` says what was delivered, also when it throws. */
async function* readBlob(
  connection: Connection,
  { digest, size }: Descriptor,
  progress: { offset: number },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let mark = progress.offset;
  for (let attempt = 1; progress.offset < size; attempt++) {
    try {
      for await (const chunk of readFrom(connection, digest, progress.offset, signal)) {
        progress.offset += chunk.length;
        if (progress.offset > size) throw new RegistryError(`blob ${digest} is longer than its ${size} bytes`, 200);
        yield chunk;
      }
      if (progress.offset < size) throw brokenOff(connection.host);
    } catch (error) {
      if (progress.offset - mark >= progressBytes) attempt = 1;
      mark = progress.offset;
      await connection.pause(error, attempt, signal);
    }
  }
}

/** One request. A server that ignores Range sends all from the start: what is there already is left out. */
async function* readFrom(connection: Connection, digest: string, offset: number, signal: AbortSignal) {
  const headers = offset > 0 ? { range: `bytes=${offset}-` } : undefined;
  const response = await connection.ask(`blobs/${digest}`, { headers, signal });
  let surplus = offset;
  if (response.status === 206) {
    const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
    if (Number(start) !== offset)
      throw new RegistryError(`${connection.host} answers with another range than asked`, 206);
    surplus = 0;
  }
  for await (const chunk of readBody(response)) {
    if (chunk.length > surplus) yield chunk.subarray(surplus);
    surplus = Math.max(0, surplus - chunk.length);
  }
}

function brokenOff(host: string): RegistryError {
  const cause = Object.assign(new Error("the connection ended early"), { code: "ECONNRESET" });
  return new RegistryError(`${host}: ${cause.message}`, 0, { cause });
}

function digestOf(bytes: Uint8Array, like = "sha256:"): string {
  const algorithm = like.slice(0, like.indexOf(":")) as "sha256" | "sha512";
  return `${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest("hex")}`;
}

function wrongDigest(what: string, wanted: string, got: string): RegistryError {
  return new RegistryError(`${what} has the wrong digest: wanted ${wanted}, got ${got}`, 200);
}
