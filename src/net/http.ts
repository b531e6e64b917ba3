/** One HTTP request to a registry: bounded in time, redirects followed without handing credentials to another host. */

import { ofetch } from "ofetch";
import { PodError, RegistryError } from "../errors.ts";
import { tlsFor } from "./certificates.ts";
import { proxyFor } from "./proxies.ts";

export interface HttpRequest {
  method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH";
  headers?: Record<string, string>;
  body?: URLSearchParams | Uint8Array | StreamedBody;
  /** Certificates are not verified, and a redirect may lead to plain HTTP. */
  insecure?: boolean;
  /** Until the answer's headers are there, counted from when the last of the body was sent. */
  timeoutMs: number;
  /** Ends the request and the reading of its body. */
  signal?: AbortSignal;
}

/** Sent as it is read, with its length known before. `open` begins anew for each request, as after a redirect. */
export interface StreamedBody {
  sizeBytes: number;
  open(): AsyncIterable<Uint8Array>;
}

const redirectLimit = 10;
const stallMs = 60_000; // a body that gives no byte for so long is given up

/**
 * Sends the request; any status is an answer, its body is still to be read (`readBody`). Throws RegistryError with status 0
 * where none came: its cause carries the system's code (ENOTFOUND, ECONNREFUSED …).
 */
export async function send(url: string, request: HttpRequest): Promise<Response> {
  const headers = new Headers({ "user-agent": "pod", "accept-encoding": "identity", ...request.headers });
  let target = new URL(url);
  for (let hops = 0; hops <= redirectLimit; hops++) {
    const response = await sendOnce(target, headers, request);
    const location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || !location) return response;
    await response.body?.cancel();
    const next = new URL(location, target);
    if (
      !/^https?:$/.test(next.protocol) ||
      (next.protocol === "http:" && target.protocol === "https:" && !request.insecure)
    ) {
      throw new RegistryError(`${target.host} redirects to ${next.protocol}//${next.host}, which is not safe`, 0);
    }
    if (next.origin !== target.origin) headers.delete("authorization");
    target = next;
  }
  throw new RegistryError(`${new URL(url).host} redirects more than ${redirectLimit} times`, 0);
}

/** The answer's body, chunk by chunk as it arrives. Throws RegistryError where it breaks off or stalls. */
export async function* readBody(response: Response): AsyncGenerator<Uint8Array> {
  const reader = (response.body as ReadableStream<Uint8Array> | null)?.getReader();
  if (!reader) return;
  const { host } = new URL(response.url);
  try {
    for (;;) {
      const { done, value } = await withStallLimit(reader.read(), host);
      if (done) return;
      if (value.length) yield value;
    }
  } catch (error) {
    throw failure(host, error);
  } finally {
    await reader.cancel().catch(() => {}); // it may have failed already: then there is nothing to cancel
  }
}

/** The whole body; RegistryError where it is longer than `limitBytes`. */
export async function readWhole(response: Response, limitBytes: number, what: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of readBody(response)) {
    length += chunk.length;
    if (length > limitBytes) throw new RegistryError(`${what} is larger than ${limitBytes} bytes`, response.status);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** True where waiting and asking again may help: the connection broke, or the server is busy. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof RegistryError)) return false;
  if (error.status !== 0) return isTransientStatus(error.status);
  const code = (error.cause as { code?: string } | undefined)?.code;
  return code !== undefined && !/NOTFOUND|EAI_|CERT|SELF_SIGNED|UNABLE_TO|EPROTO/.test(code);
}

export function isTransientStatus(status: number): boolean {
  return status === 429 || status === 408 || (status >= 500 && status !== 501);
}

async function sendOnce(target: URL, headers: Headers, request: HttpRequest): Promise<Response> {
  const bunOptions = {
    tls: tlsFor(target, request.insecure),
    timeout: 0, // no idle limit of Bun's: stallMs rules
    proxy: proxyFor(target) ?? false, // without it Bun's own reading of the environment would rule
  };
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(timedOut(`no answer within ${request.timeoutMs / 1000} seconds`)),
    request.timeoutMs,
  );
  const signal = request.signal ? AbortSignal.any([request.signal, controller.signal]) : controller.signal;
  try {
    return await ofetch.raw(target.href, {
      ...bunOptions,
      method: request.method ?? "GET",
      ...toPayload(request.body, headers, () => timer.refresh()),
      redirect: "manual",
      responseType: "stream",
      ignoreResponseError: true,
      retry: false,
      signal,
    });
  } catch (error) {
    throw failure(target.host, (error as Error).cause ?? error);
  } finally {
    clearTimeout(timer);
  }
}

/** What fetch takes. A streamed body is read no faster than it is sent; `sending` hears of each chunk. */
function toPayload(body: HttpRequest["body"], headers: Headers, sending: () => void) {
  if (!body || !("open" in body)) return { body, headers };
  const source = body.open()[Symbol.asyncIterator]();
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await source.next();
      sending();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await source.return?.();
    },
  });
  const lengths = new Headers(headers);
  lengths.set("content-length", String(body.sizeBytes)); // else fetch sends it chunked, which some registries refuse
  return { body: stream, headers: lengths };
}

async function withStallLimit<T>(step: Promise<T>, host: string): Promise<T> {
  let timer: Timer | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(timedOut(`${host} sent nothing for ${stallMs / 1000} seconds`)), stallMs);
  });
  try {
    return await Promise.race([step, stalled]);
  } finally {
    clearTimeout(timer);
  }
}

function timedOut(message: string): Error {
  return Object.assign(new Error(message), { code: "ETIMEDOUT" });
}

/** Bun's message may be long (`Unable to connect. Is the computer able to …`): the code says the same. */
function failure(host: string, error: unknown): PodError {
  if (error instanceof PodError) return error; // a body that could not be read, for one
  const { code, message } = error as { code?: string; message: string };
  const text = texts[code ?? ""] ?? message;
  return new RegistryError(`${host}: ${text}`, 0, {
    cause: Object.assign(new Error(text), { code: code ?? "ECONNRESET" }),
  });
}

const texts: Record<string, string> = {
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the name could not be looked up",
  ECONNREFUSED: "connection refused",
  ConnectionRefused: "connection refused",
  ECONNRESET: "connection reset by peer",
  EPROTO: "TLS handshake failed",
  UnsupportedProxyProtocol: "its proxy must be http:// or https://",
};
