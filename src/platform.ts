/** Platforms as `--platform` names them and image indexes list them, in Go's words: `linux/arm64/v8`. */

import { NotFoundError, UsageError } from "./errors.ts";
import { type Descriptor, hostPlatform, type Index, type Platform } from "./spec.ts";

/** What `--platform` asks for; this machine's own where it is not given. UsageError where it is no platform. */
export function parsePlatform(text: string | undefined): Platform {
  if (!text) return hostPlatform();
  if (!/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+){0,2}$/.test(text)) {
    throw new UsageError(`invalid platform ${JSON.stringify(text)}`, {
      hint: "the form is OS/ARCH[/VARIANT], like linux/arm64",
    });
  }
  const parts = text.toLowerCase().split("/");
  if (parts.length === 1) return { ...hostPlatform(), ...(parts[0] === "linux" ? {} : normalize(parts[0]!)) };
  return { os: parts[0]!, ...normalize(parts[1]!, parts[2]) };
}

/** `linux/amd64`, `linux/arm/v7`. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter(Boolean).join("/");
}

/** True where an image for `offered` is what `wanted` asks for; a variant that is not asked for may be any. */
export function satisfies(offered: Platform, wanted: Platform): boolean {
  const have = normalize(offered.architecture, offered.variant);
  const want = normalize(wanted.architecture, wanted.variant);
  const variantFits = want.variant === undefined || have.variant === want.variant;
  return offered.os === wanted.os && have.architecture === want.architecture && variantFits;
}

/** The manifest for the platform: the one without a variant, or the index's first that fits. Docker's error text where there is none. */
export function choosePlatform(index: Index, wanted: Platform): Descriptor {
  const fitting = index.manifests.filter(({ platform }) => platform && satisfies(platform, wanted));
  const chosen = fitting.find(({ platform }) => platform!.variant === wanted.variant) ?? fitting[0];
  if (chosen) return chosen;
  const offered = index.manifests.flatMap(({ platform }) =>
    platform?.os && platform.os !== "unknown" ? [formatPlatform(platform)] : [],
  );
  throw new NotFoundError(`no matching manifest for ${formatPlatform(wanted)} in the manifest list entries`, {
    hint: offered.length ? `it is there for ${[...new Set(offered)].join(", ")}` : undefined,
  });
}

/** containerd's platforms package: other systems' names for an architecture, and the variant that goes without saying. */
function normalize(architecture: string, variant?: string): { architecture: string; variant?: string } {
  const known = aliases[architecture];
  if (known) return { variant, ...known };
  if (architecture === "arm64" && variant === "v8") return { architecture };
  if (architecture === "amd64" && variant === "v1") return { architecture };
  if (architecture === "arm") return { architecture, variant: variant ?? "v7" };
  return variant ? { architecture, variant } : { architecture };
}

const aliases: Record<string, { architecture: string; variant?: string }> = {
  x86_64: { architecture: "amd64" },
  "x86-64": { architecture: "amd64" },
  aarch64: { architecture: "arm64" },
  armhf: { architecture: "arm", variant: "v7" },
  armel: { architecture: "arm", variant: "v6" },
  i386: { architecture: "386" },
};
