/** What templates can call: Go's predefined functions and Docker's (docker/cli, templates/templates.go). */

import { UsageError } from "../errors.ts";

type List = readonly unknown[];

export const functions: Record<string, (...args: never[]) => unknown> = {
  json: (value: unknown) => JSON.stringify(value ?? null),
  join: (list: List | null, separator: string) => (list ?? []).join(separator),
  split: (text: string, separator: string) => text.split(separator),
  lower: (text: string) => text.toLowerCase(),
  upper: (text: string) => text.toUpperCase(),
  title: (text: string) =>
    text.replace(/(^|\s)(\S)/g, (_, space: string, letter: string) => space + letter.toUpperCase()),
  pad: (text: string, before: number, after: number) => text && " ".repeat(before) + text + " ".repeat(after),
  truncate: (text: string, length: number) => text.slice(0, length),
  print: (...values: unknown[]) => values.map(formatValue).join(" "),
  println: (...values: unknown[]) => `${values.map(formatValue).join(" ")}\n`,
  printf: (format: string, ...values: unknown[]) => printf(format, values),
  len: (value: string | List | object) => lengthOf(value),
  index: (value: unknown, ...keys: unknown[]) => keys.reduce(element, value),
  slice: (value: string | List, start = 0, end = value.length) => value.slice(start, end),
  not: (value: unknown) => !isTrue(value),
  and: (...values: unknown[]) => values.find((value) => !isTrue(value)) ?? values.at(-1),
  or: (...values: unknown[]) => values.find(isTrue) ?? values.at(-1),
  eq: (first: unknown, ...others: unknown[]) => others.some((other) => other === first),
  ne: (a: unknown, b: unknown) => a !== b,
  lt: (a: number, b: number) => a < b,
  le: (a: number, b: number) => a <= b,
  gt: (a: number, b: number) => a > b,
  ge: (a: number, b: number) => a >= b,
};

/** For the line of headings in `table` formats: what changes a value leaves a heading alone. */
export const headingFunctions: typeof functions = Object.fromEntries(
  ["json", "join", "lower", "upper", "title", "truncate"].map((name) => [name, (value: unknown) => value]),
);

/** A Go map: what templates range over and index, where a missing key is no error. */
export function goMap<T>(
  entries: Iterable<readonly [string, T]> | Record<string, T> | null | undefined,
): Record<string, T> {
  const pairs =
    entries && Symbol.iterator in entries ? [...(entries as Iterable<[string, T]>)] : Object.entries(entries ?? {});
  return Object.assign(Object.create(null), Object.fromEntries(pairs));
}

export function isGoMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === null;
}

/** Go: false, 0, nil and whatever is empty are false; a struct is always true. */
export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isGoMap(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** Go's %v. */
export function formatValue(value: unknown): string {
  if (value === null || value === undefined) return "<no value>";
  const inner = (each: unknown) => (each === null || each === undefined ? "<nil>" : formatValue(each));
  if (Array.isArray(value)) return `[${value.map(inner).join(" ")}]`;
  if (typeof value !== "object") return String(value);
  const entries = Object.entries(value);
  if (!isGoMap(value)) return `{${entries.map(([, each]) => inner(each)).join(" ")}}`;
  return `map[${entries
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, each]) => `${key}:${inner(each)}`)
    .join(" ")}]`;
}

function lengthOf(value: string | List | object): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (isGoMap(value)) return Object.keys(value).length;
  throw new UsageError(`len of ${formatValue(value)}`);
}

function element(value: unknown, key: unknown): unknown {
  if (isGoMap(value)) return value[String(key)] ?? "";
  if (!Array.isArray(value) && typeof value !== "string") throw new UsageError(`can't index ${formatValue(value)}`);
  if (typeof key !== "number") throw new UsageError(`cannot index with ${formatValue(key)}`);
  if (key < 0 || key >= value.length) throw new UsageError(`index out of range: ${key}`);
  return typeof value === "string" ? value.charCodeAt(key) : value[key];
}

/** The verbs of Go's fmt that fit the values here: %s %v %d %q %x %t %f with flags and width. */
function printf(format: string, values: unknown[]): string {
  const rest = [...values];
  return format.replace(
    /%([-0+]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g,
    (_, flags: string, width: string, precision, verb: string) => {
      if (verb === "%") return "%";
      if (!rest.length) return `%!${verb}(MISSING)`;
      const text = formatVerb(verb, rest.shift(), precision === undefined ? undefined : Number(precision));
      if (flags.includes("-")) return text.padEnd(Number(width));
      return text.padStart(Number(width), flags.includes("0") ? "0" : " ");
    },
  );
}

function formatVerb(verb: string, value: unknown, precision: number | undefined): string {
  if (verb === "q") return JSON.stringify(formatValue(value));
  if (verb === "f") return Number(value).toFixed(precision ?? 6);
  if (verb === "x" && typeof value === "number") return value.toString(16);
  if (verb === "x") return Buffer.from(formatValue(value)).toString("hex");
  if ("svdt".includes(verb)) return formatValue(value).slice(0, precision);
  return `%!${verb}(${formatValue(value)})`;
}
