/** A connection to one endpoint: finds out how to talk to it, answers its challenge, and asks again when that may help. */

import { formatError, RegistryError } from "../errors.ts";
import type { Reference } from "../reference.ts";
import { Authorizer } from "./auth.ts";
import { isTransient, send } from "./http.ts";
import type { Endpoint } from "./mirrors.ts";
import { explain, Refusal, unreachable } from "./refusal.ts";

export interface AskOptions {
  method?: "GET" | "HEAD";
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

const pingTimeoutMs = 15_000;
const answerTimeoutMs = 60_000; // a registry that is a cache may fetch a blob first
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
  ) {
    this.host = new URL(endpoint.bases[0]!).host;
    this.attemptLimit = endpoint.isMirror ? mirrorAttemptLimit : attemptLimit;
    this.#authorizer = new Authorizer({
      origin: endpoint.bases.at(-1)!,
      account: endpoint.account,
      scope: `repository:${endpoint.repository}:pull`,
      insecure: endpoint.insecure,
    });
  }

  /** Asks once for `manifests/latest`, `blobs/sha256:…`. The answer is a success; else Refusal, or RegistryError with status 0. */
  async ask(path: string, options: AskOptions): Promise<Response> {
    this.#base ??= this.#ping();
    const base = await this.#base;
    const url = `${base}/v2/${this.endpoint.repository}/${path}`;
    const { insecure } = this.endpoint;
    for (let renewals = 0; ; renewals++) {
      const authorization = await this.#authorizer.header();
      const headers = { ...options.headers, ...(authorization && { authorization }) };
      const response = await send(url, { ...options, headers, insecure, timeoutMs: answerTimeoutMs });
      if (response.ok) return response;
      const challenge = response.headers.get("www-authenticate");
      if (response.status === 401 && renewals < renewalLimit && this.#authorizer.refused(authorization, challenge)) {
        await response.body?.cancel();
        continue;
      }
      const refusal = await explain(response, this.reference, path.slice(0, path.indexOf("/") - 1));
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

  /** GET /v2/ tells in one bounded step whether somebody is there, by which protocol, and what authorization is asked for. */
  async #ping(): Promise<string> {
    const { bases, insecure } = this.endpoint;
    for (const [index, base] of bases.entries()) {
      try {
        const response = await send(`${base}/v2/`, { insecure, timeoutMs: pingTimeoutMs });
        await response.body?.cancel();
        if (response.status === 401) this.#authorizer.challenge(response.headers.get("www-authenticate"));
        return base;
      } catch (error) {
        const code = String(((error as Error).cause as { code?: unknown } | undefined)?.code);
        const otherMayAnswer = index + 1 < bases.length && !/ENOTFOUND|EAI_|ETIMEDOUT/.test(code);
        if (!otherMayAnswer) throw error instanceof RegistryError ? unreachable(this.host, error) : error;
      }
    }
    throw new RegistryError(`no address for ${this.host}`, 0);
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
