/** A token server for a registry of a test: signs JSON Web Tokens (RFC 7515), which the registry verifies. */

import { createSign } from "node:crypto";
import { readFileSync } from "node:fs";

export interface TokenRequest {
  method: string;
  user?: string;
  query: URLSearchParams;
}

export interface TokenOptions {
  certificate: string;
  key: string;
  users: Record<string, string>;
  /** What a user may do there: `["pull", "push"]`. */
  allowed(user: string | undefined, repository: string): string[];
  lifeSeconds?: number;
  /** Given where the client asks for an offline token, and taken instead of the password. */
  refreshToken?: string;
}

const service = "test registry";
const issuer = "test issuer";

/** `settings` are for startRegistry; `seen` lists the requests. */
export function startTokenServer(options: TokenOptions) {
  const seen: TokenRequest[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const isPost = request.method === "POST";
      const query = isPost ? new URLSearchParams(await request.text()) : new URL(request.url).searchParams;
      const user = isPost ? userOfGrant(query, options) : userOfBasic(request, options);
      seen.push({ method: request.method, user: user || undefined, query });
      if (user === "") return Response.json({ errors: [{ code: "UNAUTHORIZED" }] }, { status: 401 });
      const scopes = query.getAll("scope").flatMap((scope) => scope.split(" "));
      const access = scopes.filter(Boolean).map((scope) => grant(scope, user, options));
      const lifeSeconds = options.lifeSeconds ?? 300;
      const token = sign({ access, sub: user ?? "", ...times(lifeSeconds) }, options);
      const refresh = query.get("offline_token") && options.refreshToken;
      return Response.json({ token, expires_in: lifeSeconds, ...(refresh && { refresh_token: refresh }) });
    },
  });
  const realm = `http://127.0.0.1:${server.port}/token`;
  return {
    seen,
    settings: { realm, service, issuer, certificate: options.certificate },
    stop: () => server.stop(true),
  };
}

/** Undefined for nobody, empty for somebody with a wrong password. */
function userOfBasic(request: Request, { users }: TokenOptions): string | undefined {
  const encoded = /^Basic (.+)$/.exec(request.headers.get("authorization") ?? "")?.[1];
  if (!encoded) return undefined;
  const [name = "", password] = Buffer.from(encoded, "base64").toString().split(/:(.*)/s);
  return users[name] === password ? name : "";
}

function userOfGrant(query: URLSearchParams, { users, refreshToken }: TokenOptions): string {
  const isGood = query.get("grant_type") === "refresh_token" && query.get("refresh_token") === refreshToken;
  return isGood ? Object.keys(users)[0]! : "";
}

function grant(scope: string, user: string | undefined, { allowed }: TokenOptions) {
  const [, type, name, asked] = /^(\w+):(.*):([^:]*)$/.exec(scope) ?? [];
  const actions = allowed(user, name!).filter((action) => asked!.split(",").includes(action));
  return { type, name, actions };
}

function times(lifeSeconds: number) {
  const now = Math.floor(Date.now() / 1000);
  return { iss: issuer, aud: service, iat: now, nbf: now - 10, exp: now + lifeSeconds, jti: crypto.randomUUID() };
}

/** The registry finds the key in the certificate that `x5c` holds. */
function sign(claims: object, { certificate, key }: TokenOptions): string {
  const x5c = [readFileSync(certificate, "utf8").replace(/-----[^-]+-----|\s/g, "")];
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${encode({ typ: "JWT", alg: "ES256", x5c })}.${encode(claims)}`;
  const signature = createSign("SHA256")
    .update(text)
    .sign({ key: readFileSync(key), dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
}
