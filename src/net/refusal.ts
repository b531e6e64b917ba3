/** Registries' refusals in Docker's words, which scripts and people look for. */

import { RegistryError } from "../errors.ts";
import { defaultDomain, familiarName, familiarRepository, type Reference } from "../reference.ts";
import { readWhole } from "./http.ts";

/** A registry's answer other than success; `retryAfterSeconds` is what it asked for by Retry-After. */
export class Refusal extends RegistryError {
  constructor(
    message: string,
    status: number,
    readonly retryAfterSeconds: number | undefined,
    hint?: string,
  ) {
    super(message, status, { hint });
  }
}

const bodyLimitBytes = 64 << 10;

/** Reads the body of a failed request, `{"errors": [{code, message}]}` by the distribution spec, and words it as Docker does. */
export async function explain(
  response: Response,
  reference: Reference,
  what: "manifest" | "blob",
  verb: "pull" | "push",
): Promise<Refusal> {
  const { status } = response;
  const { host } = new URL(response.url);
  const { code, text } = await readReason(response, status, host);
  const refuse = (message: string, hint?: string) => new Refusal(message, status, retryAfter(response), hint);

  if (code === "TOOMANYREQUESTS" || status === 429) {
    return refuse(
      text,
      reference.domain === defaultDomain ? "log in, as Docker Hub counts those pulls apart" : undefined,
    );
  }
  if (status === 401 || status === 403) {
    const denied = `${verb} access denied for ${familiarRepository(reference)}, repository does not exist or may require`;
    return refuse(
      `${denied} ${verb === "pull" ? "'docker login'" : "authorization"}: ${text}`,
      `log in: pod login ${reference.domain}`,
    );
  }
  if (code === "NAME_UNKNOWN") return refuse(`repository ${familiarRepository(reference)} not found: ${text}`);
  if (status === 404 && what === "manifest" && verb === "pull")
    return refuse(`manifest for ${familiarName(reference)} not found: ${text}`);
  return refuse(`${host}: ${what}: ${text}`);
}

/** The registry gave no answer at all: names its host and the ways around it. */
export function unreachable(host: string, error: RegistryError): RegistryError {
  const code = String((error.cause as { code?: unknown } | undefined)?.code);
  const hint = /CERT|SELF_SIGNED|UNABLE_TO|EPROTO/.test(code)
    ? `if you trust this registry: put the CA that signed its certificate into ~/.config/containers/certs.d/${host}/ca.crt`
    : `\`pod run starter sh\` runs the image that pod carries; a mirror of ${host === "registry-1.docker.io" ? defaultDomain : host} is set by [[registry.mirror]] in ~/.config/containers/registries.conf`;
  const cause = new Error((error.cause as Error | undefined)?.message ?? error.message); // without its code: no case for another try
  return new RegistryError(`registry ${host} can't be reached`, 0, { cause, hint });
}

/** A mirror said `missing`, and the registry behind it can't be asked: what the mirror said stands. */
export function missingAndUnreachable(
  missing: RegistryError,
  mirror: string,
  unreached: RegistryError,
  host: string,
): RegistryError {
  const reason = (unreached.cause as Error | undefined)?.message ?? unreached.message;
  return new RegistryError(missing.message, missing.status, {
    hint: `the mirror ${mirror} does not have it, and ${host} can't be reached: ${reason}`,
  });
}

async function readReason(response: Response, status: number, host: string): Promise<{ code: string; text: string }> {
  const fallback = fallbacks[status] ?? { code: "", text: `status ${status} from ${host}` };
  try {
    const body = new TextDecoder().decode(await readWhole(response, bodyLimitBytes, "the answer"));
    const [first] = (JSON.parse(body) as { errors?: { code?: unknown; message?: unknown }[] }).errors ?? [];
    if (typeof first?.code !== "string") return fallback;
    const code = first.code.toUpperCase();
    return { code, text: printable(`${code.toLowerCase().replaceAll("_", " ")}: ${first.message || "unknown error"}`) };
  } catch {
    return fallback; // a proxy's HTML, or nothing after HEAD: the status says enough
  }
}

/** docker/distribution's texts for statuses that come without a body. */
const fallbacks: Record<number, { code: string; text: string }> = {
  401: { code: "UNAUTHORIZED", text: "unauthorized: authentication required" },
  403: { code: "DENIED", text: "denied: requested access to the resource is denied" },
  404: { code: "", text: "not found" },
  429: { code: "TOOMANYREQUESTS", text: "toomanyrequests: too many requests" },
};

/** RFC 9110 10.2.3: seconds or a date. */
function retryAfter(response: Response): number | undefined {
  const value = response.headers.get("retry-after")?.trim();
  if (!value) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, Math.ceil(seconds));
}

/** A registry's words go to a terminal: no control characters, and not a novel. */
function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ").slice(0, 1000);
}
