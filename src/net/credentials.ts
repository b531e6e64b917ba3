/** The user's logins, from where `docker login`, `podman login` and ours put them: config files and credential helpers. */

import { formatError, PodError } from "../errors.ts";
import { type AuthEntry, authFiles, helperFor, lookUp, readAuthFile } from "./authfiles.ts";
import { getFromHelper } from "./helpers.ts";

/** What to show a registry, or its token server. */
export type Credentials = { username: string; password: string } | { identityToken: string };

/**
 * The credentials for a repository like `docker.io/library/alpine`: the file's most specific key wins, files in the order of
 * containers-auth.json(5), Docker's last. `problem` tells of a helper that failed; the pull then goes on without credentials.
 */
export async function findCredentials(repository: string): Promise<{ credentials?: Credentials; problem?: string }> {
  let problem: string | undefined;
  for (const path of authFiles()) {
    const file = readAuthFile(path);
    if (!file) continue;
    for (const key of keysFor(repository)) {
      const helper = helperFor(file, key);
      try {
        const found = (helper && (await getFromHelper(helper, key))) || decodeEntry(lookUp(file.auths, key), path);
        if (found) return { credentials: found };
      } catch (error) {
        problem ??= formatError(error);
      }
    }
  }
  return { problem };
}

/** `quay.io/org/app`, `quay.io/org`, `quay.io`. */
function keysFor(repository: string): string[] {
  const parts = repository.split("/");
  return parts.map((_, index) => parts.slice(0, parts.length - index).join("/"));
}

function decodeEntry(entry: AuthEntry | undefined, path: string): Credentials | undefined {
  if (!entry) return undefined;
  if (entry.identitytoken) return { identityToken: entry.identitytoken };
  if (entry.auth) {
    const text = Buffer.from(entry.auth, "base64").toString("utf8");
    const colon = text.indexOf(":");
    if (colon < 1) throw new PodError(`${path} holds an "auth" that is not base64 of user:password`);
    return { username: text.slice(0, colon), password: text.slice(colon + 1) };
  }
  return entry.username ? { username: entry.username, password: entry.password ?? "" } : undefined;
}
