/** The first step at an endpoint: is a registry there, by which protocol, and what authorization does it ask for? */

import { RegistryError } from "../errors.ts";
import { send } from "./http.ts";
import type { Endpoint } from "./mirrors.ts";
import { unreachable } from "./refusal.ts";

const pingTimeoutMs = 15_000;

/**
 * GET /v2/, of one base after the other until one answers. `challenge` is WWW-Authenticate's value, empty where it is missing,
 * and undefined where everybody may enter. Throws RegistryError where nobody answers.
 */
export async function ping({ bases, insecure }: Endpoint): Promise<{ base: string; challenge?: string }> {
  const { host } = new URL(bases[0]!);
  for (const [index, base] of bases.entries()) {
    const isLast = index + 1 === bases.length;
    try {
      const response = await send(`${base}/v2/`, { insecure, timeoutMs: pingTimeoutMs });
      await response.body?.cancel();
      if (response.status === 400 && !isLast) continue; // how servers answer plain HTTP on their TLS port
      return {
        base,
        challenge: response.status === 401 ? (response.headers.get("www-authenticate") ?? "") : undefined,
      };
    } catch (error) {
      const code = String(((error as Error).cause as { code?: unknown } | undefined)?.code);
      const isNobody = /ENOTFOUND|EAI_|ETIMEDOUT/.test(code); // by any protocol
      if (isLast || isNobody) throw error instanceof RegistryError ? unreachable(host, error) : error;
    }
  }
  throw new RegistryError(`no address for ${host}`, 0);
}
