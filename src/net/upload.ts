/** One blob's way into a repository: distribution spec 1.1, "Pushing Blobs". */

import { RegistryError } from "../errors.ts";
import type { Descriptor } from "../spec.ts";
import type { Connection } from "./connection.ts";
import { isTransient } from "./http.ts";

/** A blob to be sent. */
export interface Blob {
  descriptor: Descriptor;
  /** A repository of the same registry that probably has it: `library/alpine`. */
  source?: string;
  /** Its bytes from `offset` on. */
  read(offset: number): AsyncIterable<Uint8Array>;
}

/** `existed`: the repository had it; `mounted`: the registry took it from the blob's source; `sent`: its bytes went over the network. */
export type BlobOutcome = "existed" | "mounted" | "sent";

/** An upload that the registry has opened. */
interface Session {
  url: string;
  /** Bytes that the registry has said it has. */
  offset: number;
}

const progressBytes = 1 << 20; // after so much more of a blob its attempts are counted anew

/** See Destination. Throws RegistryError. */
export async function putBlob(
  connection: Connection,
  blob: Blob,
  sending: (bytes: number) => void,
  signal: AbortSignal,
): Promise<BlobOutcome> {
  let session: Session | undefined;
  let isBroken = false;
  let mark = 0;
  for (let attempt = 1; ; attempt++) {
    try {
      if (isBroken && session) session = await findRest(connection, session);
      isBroken = false;
      const offset = session?.offset ?? 0;
      if (offset - mark >= progressBytes) attempt = 1;
      mark = Math.max(mark, offset);
      if (!session) {
        if (await hasBlob(connection, blob.descriptor.digest)) return "existed";
        session = await open(connection, blob);
        if (!session) return "mounted";
      }
      await send(connection, blob, session, sending, signal);
      return "sent";
    } catch (error) {
      isBroken = true;
      await connection.pause(error, attempt, signal);
    }
  }
}

async function hasBlob(connection: Connection, digest: string): Promise<boolean> {
  try {
    await connection.ask(`blobs/${digest}`, { method: "HEAD" });
    return true;
  } catch (error) {
    if (error instanceof RegistryError && error.status === 404) return false;
    throw error;
  }
}

/** A new upload; undefined where the registry has taken the blob from its source instead. */
async function open(connection: Connection, { descriptor, source }: Blob): Promise<Session | undefined> {
  const start = (query: string) => connection.ask(`blobs/uploads/${query}`, { method: "POST" });
  const mount = new URLSearchParams({ mount: descriptor.digest, from: source ?? "" });
  const response = source ? await start(`?${mount}`).catch((error) => unlessRefused(error, start)) : await start("");
  await response.body?.cancel();
  return response.status === 201 ? undefined : { url: locationOf(response), offset: 0 };
}

/** Who may not read the source can still send the bytes. */
async function unlessRefused(error: unknown, start: (query: string) => Promise<Response>): Promise<Response> {
  if (!isRefused(error)) throw error;
  return await start("");
}

/** What the registry has of an upload that broke off; undefined where it has nothing of it, or has forgotten the upload. */
async function findRest(connection: Connection, { url }: Session): Promise<Session | undefined> {
  try {
    const response = await connection.ask(url, {});
    await response.body?.cancel();
    const last = Number(/^(?:bytes=)?0-(\d+)$/.exec(response.headers.get("range") ?? "")?.[1] ?? 0);
    return last > 0 ? { url: locationOf(response, url), offset: last + 1 } : undefined; // 0-0: one byte, or none
  } catch (error) {
    if (isRefused(error)) return undefined;
    throw error;
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof RegistryError && error.status >= 400 && !isTransient(error);
}

/** All of it in one request; the rest of it as a chunk. */
async function send(
  connection: Connection,
  { descriptor, read }: Blob,
  session: Session,
  sending: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { digest, size } = descriptor;
  const start = session.offset;
  const body = {
    sizeBytes: size - start,
    async *open() {
      let sent = start;
      for await (const chunk of read(start)) {
        yield chunk;
        sent += chunk.length;
        sending(sent);
      }
    },
  };
  const type = { "content-type": "application/octet-stream" };
  if (start > 0 && start < size) {
    const headers = { ...type, "content-range": `${start}-${size - 1}` };
    const response = await connection.ask(session.url, { method: "PATCH", headers, body, signal });
    await response.body?.cancel();
    session.url = locationOf(response, session.url);
  }
  const url = new URL(session.url);
  url.searchParams.set("digest", digest);
  const whole = start === 0 && size > 0 ? { headers: type, body } : {};
  const response = await connection.ask(url.href, { method: "PUT", ...whole, signal });
  await response.body?.cancel();
}

/** Where the upload goes on. A registry behind a TLS proxy may call itself http: what came by TLS goes on by TLS. */
function locationOf(response: Response, fallback?: string): string {
  const location = response.headers.get("location") ?? fallback;
  if (!location)
    throw new RegistryError(`${new URL(response.url).host} opens an upload without saying where`, response.status);
  const url = new URL(location, response.url);
  const origin = new URL(response.url);
  if (url.host === origin.host) url.protocol = origin.protocol;
  return url.href;
}
