/** Whether a registry takes a name and a password. */

import { RegistryError } from "../errors.ts";
import { basic, fetchToken, parseChallenges } from "./auth.ts";
import type { Credentials } from "./credentials.ts";
import { send } from "./http.ts";
import { endpointsFor } from "./mirrors.ts";
import { ping } from "./ping.ts";

const timeoutMs = 30_000;

/**
 * Shows them to the registry `host`, or to its token server, and returns what is to be kept: an identity token where the server
 * gives one in the password's place. Throws RegistryError in Docker's words where they are refused.
 */
export async function tryLogin(host: string, credentials: Credentials): Promise<Credentials> {
  const endpoint = endpointsFor({ domain: host, path: "" }).at(-1)!; // the registry itself comes last
  const { base, challenge } = await ping(endpoint);
  if (challenge === undefined) return credentials; // it asks nobody
  const { insecure } = endpoint;
  const challenges = parseChallenges(challenge);
  const bearer = challenges.find(({ scheme }) => scheme === "bearer");
  const isBasic = challenges.some(({ scheme }) => scheme === "basic");
  const url = `${base}/v2/`;

  let authorization = isBasic ? basic(credentials) : undefined;
  let kept = credentials;
  if (bearer) {
    const target = { host: new URL(base).host, scopes: [], insecure };
    const { token, refreshToken } = await fetchToken(bearer.parameters, target, credentials, true).catch((error) => {
      const isRefused = error instanceof RegistryError && error.status === 401;
      throw isRefused ? new RegistryError(`Get "${url}": unauthorized: incorrect username or password`, 401) : error;
    });
    authorization = `Bearer ${token}`;
    if (refreshToken) kept = { identityToken: refreshToken };
  }
  const response = await send(url, { headers: authorization ? { authorization } : {}, insecure, timeoutMs });
  await response.body?.cancel();
  if (response.ok) return kept;
  const status = `${response.status} ${response.statusText}`.trim();
  throw new RegistryError(`login attempt to ${url} failed with status: ${status}`, response.status);
}
