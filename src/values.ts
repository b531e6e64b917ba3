/** Values of options, read as Docker reads them. Each function throws a UsageError with Docker's words where it can't. */

import { UsageError } from "./errors.ts";

const binaryUnits = "kmgtp";

/** go-units' RAMInBytes: `64m`, `1g`, `1.5GiB`, plain bytes. Units are powers of 1024. */
export function parseBytes(text: string): number {
  const [, number, unit] = text.match(/^(\d+(?:\.\d+)?) ?(?:([kmgtp])i?b?|b)?$/i) ?? [];
  if (!number) throw new UsageError(`invalid size: '${text}'`);
  const bytes = Math.floor(Number(number) * 1024 ** (unit ? binaryUnits.indexOf(unit.toLowerCase()) + 1 : 0));
  if (!Number.isSafeInteger(bytes)) throw new UsageError(`invalid size: '${text}'`);
  return bytes;
}

/** Go's strconv.ParseInt for base ten. */
export function parseInteger(text: string): number {
  if (!/^[+-]?\d+$/.test(text))
    throw new UsageError(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

/** A number of lines, or `all` (undefined), as `logs --tail` takes it; a negative number is all too. */
export function parseTail(text: string): number | undefined {
  if (text === "all") return undefined;
  const lines = parseInteger(text);
  return lines < 0 ? undefined : lines;
}

/** `key=value` or `key`, whose value is empty then. */
export function parseKeyValue(text: string): [key: string, value: string] {
  const at = text.indexOf("=");
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/** `name=value` of `--filter`; the name in lower case. */
export function parseFilter(text: string): [name: string, value: string] {
  if (!text.includes("=")) throw new UsageError("bad format of filter (expected name=value)");
  const [name, value] = parseKeyValue(text);
  return [name.trim().toLowerCase(), value.trim()];
}

const unitNs: Record<string, number> = { h: 3600e9, m: 60e9, s: 1e9, ms: 1e6, us: 1e3, µs: 1e3, ns: 1 };

/** A time as nanoseconds since 1970: RFC 3339, seconds since 1970 with a fraction, or a Go duration before now (`1h30m`). */
export function parseTime(text: string, nowMs = Date.now()): bigint {
  const [, seconds, fraction = ""] = text.match(/^(\d+)(?:\.(\d{1,9}))?$/) ?? [];
  if (seconds) return BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
  const durationNs = parseDuration(text);
  if (durationNs !== undefined) return BigInt(nowMs) * 1_000_000n - BigInt(Math.round(durationNs));
  const [, date, subsecond = "", zone = ""] =
    text.match(/^(\d{4}-\d\d-\d\d(?:T\d\d(?::\d\d(?::\d\d)?)?)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?$/) ?? [];
  const padded = date && (date.length === 10 ? `${date}T00:00:00` : date.padEnd(19, ":00"));
  const milliseconds = padded ? Date.parse(padded + zone) : Number.NaN;
  if (Number.isNaN(milliseconds))
    throw new UsageError(`failed to parse value as time or duration: ${JSON.stringify(text)}`);
  return BigInt(milliseconds) * 1_000_000n + BigInt(subsecond.padEnd(9, "0"));
}

/** Go's time.ParseDuration in nanoseconds; undefined where it is none. */
export function parseDuration(text: string): number | undefined {
  if (!/^-?(\d+(\.\d+)?(h|ms|m|s|us|µs|ns))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)/g))
    total += Number(number) * unitNs[unit!]!;
  return text.startsWith("-") ? -total : total;
}

/** RFC 3339 with all nine digits, as Docker: `2026-01-02T12:00:00.123456789Z`. */
export function formatTimestamp(timeNs: bigint): string {
  const seconds = new Date(Number(timeNs / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(timeNs % 1_000_000_000n).padStart(9, "0")}Z`;
}
