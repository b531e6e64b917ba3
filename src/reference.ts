/** Image references in Docker's grammar: `[domain[:port]/]path[:tag][@digest]`, as distribution/reference defines it. */

import { UsageError } from "./errors.ts";

/** A reference in full: `alpine` is domain `docker.io`, path `library/alpine`. */
export interface Reference {
  /** Host of the registry, perhaps with a port. */
  domain: string;
  /** Repository below the domain. */
  path: string;
  tag?: string;
  /** `sha256:<64 hex>` or `sha512:<128 hex>`. */
  digest?: string;
}

export const defaultDomain = "docker.io";
const officialPrefix = "library/";
const defaultTag = "latest";
const pathMaximum = 255; // distribution/reference: RepositoryNameTotalLengthMax

const domainComponent = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const domainPattern = `(?:${domainComponent}(?:\\.${domainComponent})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const pathComponent = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const digestPattern = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
const referencePattern = new RegExp(
  `^(${domainPattern})/(${pathComponent}(?:/${pathComponent})*)(?::(\\w[\\w.-]{0,127}))?(?:@(${digestPattern}))?$`,
);
const digestForms = [/^sha256:[0-9a-f]{64}$/, /^sha512:[0-9a-f]{128}$/];

/** Reads `text` as Docker does: without a domain it lies on docker.io, there without a slash below `library/`. Adds no tag. */
export function parseReference(text: string): Reference {
  if (/^[0-9a-f]{64}$/.test(text)) {
    throw new UsageError(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  }
  const { domain, remainder } = splitDomain(text);
  const name = /^[^:@]*/.exec(remainder)![0];
  if (name !== name.toLowerCase()) {
    throw new UsageError(`invalid reference format: repository name (${name}) must be lowercase`);
  }
  const match = referencePattern.exec(`${domain}/${remainder}`);
  if (!match) throw invalid(text);
  const [, , path, tag, digest] = match;
  if (path!.length > pathMaximum) throw new UsageError(`repository name must not be more than 255 characters: ${path}`);
  if (digest && !isDigest(digest)) throw invalid(text);
  return { domain, path: path!, ...(tag && { tag }), ...(digest && { digest }) };
}

/** True for a digest in a form that pod can verify. */
export function isDigest(text: string): boolean {
  return digestForms.some((form) => form.test(text));
}

/** The same reference with `latest` where neither tag nor digest is given. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag || reference.digest ? reference : { ...reference, tag: defaultTag };
}

/** In full: `docker.io/library/alpine:latest`. */
export function formatReference(reference: Reference): string {
  return `${reference.domain}/${reference.path}${suffix(reference)}`;
}

/** As people write it: `alpine:latest`, `quay.io/org/name@sha256:…`. */
export function familiarName(reference: Reference): string {
  return familiarRepository(reference) + suffix(reference);
}

/** What a user typed as Docker repeats it: `alpine:latest` for `alpine`; ids stay as they are. */
export function displayName(text: string): string {
  if (/^(sha256:)?[0-9a-f]{12,64}$/.test(text)) return text;
  return familiarName(withDefaultTag(parseReference(text)));
}

/** The name without tag and digest, as people write it: `alpine`. */
export function familiarRepository({ domain, path }: Reference): string {
  if (domain !== defaultDomain) return `${domain}/${path}`;
  const short = path.startsWith(officialPrefix) ? path.slice(officialPrefix.length) : path;
  return short.includes("/") ? path : short;
}

/** The first part is a domain if it looks like a host: with a dot, a colon or a capital letter, or `localhost`. */
function splitDomain(text: string): { domain: string; remainder: string } {
  const slash = text.indexOf("/");
  const first = text.slice(0, Math.max(0, slash));
  const isDomain = /[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase();
  let domain = isDomain ? first : defaultDomain;
  let remainder = isDomain ? text.slice(slash + 1) : text;
  if (domain === "index.docker.io") domain = defaultDomain; // its name before 2014
  if (domain === defaultDomain && !remainder.includes("/")) remainder = officialPrefix + remainder;
  return { domain, remainder };
}

function suffix({ tag, digest }: Reference): string {
  return (tag ? `:${tag}` : "") + (digest ? `@${digest}` : "");
}

function invalid(text: string): UsageError {
  return new UsageError("invalid reference format", {
    hint: `${JSON.stringify(text)} is not of the form NAME[:TAG][@DIGEST], like alpine:3.20 or localhost:5000/team/app`,
  });
}
