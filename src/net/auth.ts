/** Who may pull and push: answers a registry's challenge (RFC 7235) with Basic credentials or a bearer token (distribution spec, auth/token). */

import { RegistryError } from "../errors.ts";
import { type Credentials, findCredentials } from "./credentials.ts";
import { readWhole, send } from "./http.ts";

/** One entry of WWW-Authenticate; scheme and parameter names in lower case. */
export interface Challenge {
  scheme: string;
  parameters: Record<string, string>;
}

/** What `authorize` needs to know of the registry it is for. */
export interface AuthTarget {
  /** `host[:port]`. */
  host: string;
  /** Key of the user's credentials: `docker.io/library/alpine`. */
  account: string;
  /** Like `repository:library/alpine:pull`. */
  scopes: string[];
  /** Certificates are not verified, and its token server may speak plain HTTP. */
  insecure: boolean;
}

const clientId = "pod";
const tokenTimeoutMs = 30_000;
const tokenLimitBytes = 1 << 20;
const defaultLifeSeconds = 60; // distribution spec, auth/token: expires_in

/** Authorization for one repository; keeps the token until it expires or is refused. */
export class Authorizer {
  #challenge: Challenge | undefined;
  #header: Promise<string | undefined> | undefined;
  #refused: string | undefined;
  #expires = Number.POSITIVE_INFINITY; // milliseconds since the epoch
  /** Why the user's credentials could not be read, for the hint of a later refusal. */
  problem: string | undefined;

  constructor(private readonly target: AuthTarget) {}

  /** Remembers what the registry asked for; requests after it carry an answer. */
  challenge(header: string | null): void {
    const known = parseChallenges(header ?? "").filter(({ scheme }) => scheme === "bearer" || scheme === "basic");
    this.#challenge = known.find(({ scheme }) => scheme === "bearer") ?? known[0];
    this.#header = undefined;
  }

  /** The value of Authorization, or undefined where the registry did not ask or there is nothing to show. */
  async header(): Promise<string | undefined> {
    if (!this.#challenge) return undefined;
    if (Date.now() >= this.#expires) this.#header = undefined;
    this.#header ??= this.#answer(this.#challenge);
    const answering = this.#header;
    try {
      return await answering;
    } catch (error) {
      if (this.#header === answering) this.#header = undefined; // the next request asks again
      throw error;
    }
  }

  /** After a 401 to `used`: true where a new header may do better. */
  refused(used: string | undefined, wwwAuthenticate: string | null): boolean {
    const before = this.#challenge;
    if (!before) {
      this.challenge(wwwAuthenticate);
      return this.#challenge !== undefined;
    }
    if (before.scheme === "basic" || used === undefined) return false;
    if (this.#refused !== used) this.#header = undefined; // of several requests with one old token the first renews it
    this.#refused = used;
    return true;
  }

  async #answer(challenge: Challenge): Promise<string | undefined> {
    this.#expires = Number.POSITIVE_INFINITY;
    const { credentials, problem } = await findCredentials(this.target.account);
    this.problem = problem;
    if (challenge.scheme === "basic") return credentials && basic(credentials);
    const { token, lifeSeconds } = await fetchToken(challenge.parameters, this.target, credentials);
    this.#expires = Date.now() + Math.max(1, lifeSeconds * 0.9) * 1000;
    return `Bearer ${token}`;
  }
}

/** Splits WWW-Authenticate's value, which may hold several challenges with quoted parameters. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  const part = /([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|(?=\s|,|$))/g;
  for (const [, name, quoted, plain] of header.matchAll(part)) {
    const value = quoted?.replace(/\\(.)/g, "$1") ?? plain;
    if (value === undefined) challenges.push({ scheme: name!.toLowerCase(), parameters: {} });
    else if (challenges.length) challenges.at(-1)!.parameters[name!.toLowerCase()] = value;
  }
  return challenges;
}

/** The value of Authorization that shows a password. */
export function basic(credentials: Credentials): string | undefined {
  if ("identityToken" in credentials) return undefined; // such a token is for the token server only
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

interface Token {
  token: string;
  lifeSeconds: number;
  /** What stands for the password from now on, where it was asked for and the server gives one. */
  refreshToken?: string;
}

/**
 * GET with Basic credentials or none; POST as OAuth2's refresh_token grant where the user has an identity token. `offline` asks for
 * an identity token too (distribution spec, auth/token: offline_token). Throws RegistryError.
 */
export async function fetchToken(
  { realm, service }: Record<string, string>,
  target: Pick<AuthTarget, "host" | "scopes" | "insecure">,
  credentials: Credentials | undefined,
  offline = false,
): Promise<Token> {
  const url = URL.canParse(realm ?? "") ? new URL(realm!) : undefined;
  if (!url || !(url.protocol === "https:" || (url.protocol === "http:" && target.insecure))) {
    throw new RegistryError(`${target.host} names a token server that can't be used: ${realm ?? "none"}`, 401);
  }
  const fields = { ...(service && { service }), ...(offline && { offline_token: "true", client_id: clientId }) };
  const common = { insecure: target.insecure, timeoutMs: tokenTimeoutMs };
  let response: Response;
  if (credentials && "identityToken" in credentials) {
    const grant = { grant_type: "refresh_token", client_id: clientId, refresh_token: credentials.identityToken };
    const body = new URLSearchParams({ ...grant, ...fields, scope: target.scopes.join(" ") });
    response = await send(url.href, { ...common, method: "POST", body });
  } else {
    for (const [name, value] of Object.entries(fields)) url.searchParams.set(name, value);
    for (const scope of target.scopes) url.searchParams.append("scope", scope);
    if (credentials) url.searchParams.set("account", credentials.username);
    const authorization = credentials && basic(credentials);
    response = await send(url.href, { ...common, headers: authorization ? { authorization } : {} });
  }
  return readToken(url.host, response);
}

async function readToken(host: string, response: Response): Promise<Token> {
  const bytes = await readWhole(response, tokenLimitBytes, `the token of ${host}`);
  if (!response.ok) {
    const reason =
      response.status === 401 ? "unauthorized: incorrect username or password" : `status ${response.status}`;
    throw new RegistryError(`get a token from ${host}: ${reason}`, response.status);
  }
  let answer: Partial<Record<"token" | "access_token" | "refresh_token" | "expires_in", unknown>>;
  try {
    answer = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new RegistryError(`get a token from ${host}: the answer is not JSON`, response.status);
  }
  const token = answer.token || answer.access_token;
  if (typeof token !== "string")
    throw new RegistryError(`get a token from ${host}: the answer has none`, response.status);
  const lifeSeconds = typeof answer.expires_in === "number" ? answer.expires_in : defaultLifeSeconds;
  const refreshToken = typeof answer.refresh_token === "string" ? answer.refresh_token : undefined;
  return { token, lifeSeconds, ...(refreshToken && { refreshToken }) };
}
