/** The pushing side of the OCI distribution spec 1.1: one repository, written to. */

import { RegistryError } from "../errors.ts";
import type { Reference } from "../reference.ts";
import type { Descriptor, Manifest } from "../spec.ts";
import { Connection } from "./connection.ts";
import { type Endpoint, endpointsFor } from "./mirrors.ts";
import { tagReferrer } from "./referrers.ts";
import { type Blob, type BlobOutcome, putBlob } from "./upload.ts";

export interface Destination {
  /** Sees to it that the repository has the blob; `sending` hears how far it is. Where the connection breaks, the rest is sent. */
  putBlob(blob: Blob, sending: (bytes: number) => void, signal: AbortSignal): Promise<BlobOutcome>;
  /**
   * Names the manifest or index, whose blobs are there, by a tag or by its digest. One that refers to another (its subject) is found
   * from there, also where the registry knows nothing of referrers.
   */
  putManifest(bytes: Uint8Array, descriptor: Descriptor, tagOrDigest: string): Promise<void>;
}

/**
 * Opens the reference's repository for writing: never a mirror. Nothing is sent yet. `sources` are the paths of all repositories
 * that blobs are to be taken from; `note` is told when pod waits. Errors: RegistryError in Docker's words.
 */
export function openDestination(reference: Reference, sources: string[], note: (text: string) => void): Destination {
  const { domain } = reference;
  const endpoint = registryOf(reference);
  const names = new Map(sources.map((path) => [path, registryOf({ domain, path }).repository]));
  const scopes = [...names.values()].map((name) => `repository:${name}:pull`);
  const connection = new Connection(endpoint, reference, note, { verb: "push", scopes });
  return {
    putBlob(blob, sending, signal) {
      return putBlob(connection, { ...blob, source: names.get(blob.source ?? "") }, sending, signal);
    },
    async putManifest(bytes, descriptor, tagOrDigest) {
      const { mediaType, digest } = descriptor;
      const options = { method: "PUT", headers: { "content-type": mediaType }, body: bytes } as const;
      const response = await connection.retry(() => connection.ask(`manifests/${tagOrDigest}`, options));
      await response.body?.cancel();
      const stored = response.headers.get("docker-content-digest") ?? digest;
      if (stored !== digest) {
        throw new RegistryError(`${connection.host} stored the manifest ${digest} as ${stored}`, response.status);
      }
      const { subject, ...document } = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Manifest>;
      if (!subject || response.headers.get("oci-subject")) return;
      await tagReferrer(connection, subject.digest, toReferrer(descriptor, document));
    },
  };
}

/** The registry itself comes last of the endpoints, and may call the repository by another name than the user does. */
function registryOf(reference: Reference): Endpoint {
  return endpointsFor(reference).at(-1)!;
}

/** As a list of referrers has it: distribution spec 1.1, "Referrers Tag Schema". */
function toReferrer({ mediaType, digest, size }: Descriptor, document: Partial<Manifest>): Descriptor {
  const { artifactType = document.config?.mediaType, annotations } = document;
  return { mediaType, digest, size, ...(artifactType && { artifactType }), ...(annotations && { annotations }) };
}
