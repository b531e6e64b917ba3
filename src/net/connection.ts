/** A connection to one endpoint: finds out how to talk to it, answers its challenge, and asks again when that may help. */

import { formatError, type RegistryError } from "../errors.ts";
import type { Reference } from "../reference.ts";
import { Authorizer } from "./auth.ts";
import { type HttpRequest, isTransient, send } from "./http.ts";
import type { Endpoint } from "./mirrors.ts";
import { ping } from "./ping.ts";
import { explain, Refusal } from "./refusal.ts";

export type AskOptions = Pick<HttpRequest, "method" | "headers" | "body" | "signal">;

/** What the connection is for: the rights to ask for, and the words of a refusal. */
export interface Purpose {
  verb: "pull" | "push";
  /** Further rights: `repository:library/alpine:pull`, `registry:catalog:*`. */
  scopes?: string[];
}

const answerTimeoutMs = 60_000; // a registry that is a cache may fetch a blob first
const storeTimeoutMs = 300_000; // a registry on an object store copies a large blob before it answers
const attemptLimit = 6;
const mirrorAttemptLimit = 2;
const renewalLimit = 3; // tokens for one request
const firstDelayMs = 500;
const retryAfterLimitSeconds = 120;

export class Connection {
  readonly host: string;
  readonly attemptLimit: number;
  #base: Promise<string> | undefined;
  readonly #authorizer: Authorizer;

  constructor(
    readonly endpoint: Endpoint,
    private readonly reference: Reference,
    private readonly note: (text: string) => void,
    private readonly purpose: Purpose = { verb: "pull" },
  ) {
    this.host = new URL(endpoint.bases[0]!).host;
    this.attemptLimit = endpoint.isMirror ? mirrorAttemptLimit : attemptLimit;
    this.#authorizer = new Authorizer({
      host: this.host,
      account: endpoint.account,
      scopes: [
        `repository:${endpoint.repository}:${purpose.verb === "push" ? "pull,push" : "pull"}`,
        ...(purpose.scopes ?? []),
      ],
      insecure: endpoint.insecure,
    });
  }

  /**
   * Asks once for `manifests/latest`, `blobs/sha256:…` or a URL that the registry gave. The answer is a success; else Refusal,
   * or RegistryError with status 0.
   */
  async ask(path: string, options: AskOptions): Promise<Response> {
    this.#base ??= this.#ping();
    const base = await this.#base;
    const url = new URL(path, `${base}/v2/${this.endpoint.repository}/`);
    const isOurs = url.origin === new URL(base).origin; // an upload may lie on another host, which gets no credentials
    const { insecure } = this.endpoint;
    const timeoutMs = options.body ? storeTimeoutMs : answerTimeoutMs;
    for (let renewals = 0; ; renewals++) {
      const authorization = isOurs ? await this.#authorizer.header() : undefined;
      const headers = { ...options.headers, ...(authorization && { authorization }) };
      const response = await send(url.href, { ...options, headers, insecure, timeoutMs });
      if (response.ok) return response;
      const challenge = response.headers.get("www-authenticate");
      if (response.status === 401 && renewals < renewalLimit && this.#authorizer.refused(authorization, challenge)) {
        await response.body?.cancel();
        continue;
      }
      const what = url.pathname.includes("/manifests/") ? "manifest" : "blob";
      const refusal = await explain(response, this.reference, what, this.purpose.verb);
      throw refusal.status === 401 || refusal.status === 403 ? this.#withProblem(refusal) : refusal;
    }
  }

  /** Carries out `action`, again after a pause where its failure is a passing one. */
  async retry<T>(action: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await action();
      } catch (error) {
        await this.pause(error, attempt);
      }
    }
  }

  /** Waits before attempt `attempt` + 1, as long as the registry asks for; throws `error` where another is of no use. */
  async pause(error: unknown, attempt: number, signal?: AbortSignal): Promise<void> {
    if (!isTransient(error) || attempt >= this.attemptLimit || signal?.aborted) throw error;
    const asked = error instanceof Refusal ? error.retryAfterSeconds : undefined;
    if (asked !== undefined && asked > retryAfterLimitSeconds) throw error;
    if (asked === undefined && (error as RegistryError).status === 429 && attempt > 2) throw error; // a quota, not a moment's haste
    const delayMs = asked === undefined ? firstDelayMs * 2 ** (attempt - 1) : asked * 1000;
    this.note(`${formatError(error)}; trying again in ${delayMs / 1000} seconds`);
    await sleep(delayMs, signal);
  }

  async #ping(): Promise<string> {
    const { base, challenge } = await ping(this.endpoint);
    if (challenge !== undefined) this.#authorizer.challenge(challenge);
    return base;
  }

  #withProblem(refusal: Refusal): Refusal {
    const { problem } = this.#authorizer;
    return problem
      ? new Refusal(refusal.message, refusal.status, undefined, `${problem}; asked without credentials`)
      : refusal;
  }
}

async function sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, delayMs);
  signal?.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
  signal?.throwIfAborted();
}
