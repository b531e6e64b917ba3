/** What templates can call: Go's predefined functions and Docker's (docker/cli, templates/templates.go). */

import { UsageError } from "../errors.ts";
import { formatValue, goType, isGoMap, isTrue } from "./go-values.ts";
import { printf } from "./printf.ts";

type List = readonly unknown[];

/** `takes` are the types of its arguments; the last may stand for any number of them: `any...`. */
export interface GoFunction {
  takes: string[];
  run: (...args: never[]) => unknown;
}

function fn(takes: string, run: GoFunction["run"]): GoFunction {
  return { takes: takes.split(" "), run };
}

/** `and` and `or` are not here: they look at no more arguments than they need, which is up to evaluate.ts. */
export const functions: Record<string, GoFunction> = {
  json: fn("any", toJson),
  join: fn("[]string string", (list: List, separator: string) => list.join(separator)),
  split: fn("string string", (text: string, separator: string) => text.split(separator)),
  lower: fn("string", (text: string) => text.toLowerCase()),
  upper: fn("string", (text: string) => text.toUpperCase()),
  title: fn("string", (text: string) => text.replace(/(?<![\p{L}\p{N}_])\p{L}/gu, (letter) => letter.toUpperCase())),
  pad: fn("string int int", pad),
  truncate: fn("string int", (text: string, length: number) => text.slice(0, length)),
  print: fn("any...", print),
  println: fn("any...", (...values: unknown[]) => `${values.map(formatValue).join(" ")}\n`),
  printf: fn("string any...", (format: string, ...values: unknown[]) => printf(format, values)),
  len: fn("any", lengthOf),
  index: fn("any any...", (value: unknown, ...keys: unknown[]) => keys.reduce(element, value)),
  slice: fn("any int...", slice),
  not: fn("any", (value: unknown) => !isTrue(value)),
  eq: fn("any any...", equal),
  ne: fn("any any", (a: unknown, b: unknown) => !equal(a, b)),
  lt: fn("any any", (a: unknown, b: unknown) => compare(a, b) < 0),
  le: fn("any any", (a: unknown, b: unknown) => compare(a, b) <= 0),
  gt: fn("any any", (a: unknown, b: unknown) => compare(a, b) > 0),
  ge: fn("any any", (a: unknown, b: unknown) => compare(a, b) >= 0),
};

/** Calls it. Throws UsageError with Go's words where number or type of the arguments is wrong. */
export function callFunction(name: string, { takes, run }: GoFunction, args: unknown[]): unknown {
  const more = takes.at(-1)!.endsWith("...") ? takes.at(-1)!.slice(0, -3) : undefined;
  const fixed = more === undefined ? takes : takes.slice(0, -1);
  if (args.length < fixed.length || (more === undefined && args.length > fixed.length)) {
    const want = more === undefined ? fixed.length : `at least ${fixed.length}`;
    throw new UsageError(`wrong number of args for ${name}: want ${want} got ${args.length}`);
  }
  args.forEach((value, index) => {
    const type = fixed[index] ?? more!;
    if (type !== "any" && type !== goType(value)) {
      throw new UsageError(`wrong type for value; expected ${type}; got ${goType(value)}`);
    }
  });
  try {
    return run(...(args as never[]));
  } catch (cause) {
    throw new UsageError(`error calling ${name}`, { cause });
  }
}

/** For the line of headings in `table` formats: what changes a value leaves a heading alone. */
export const headingFunctions: typeof functions = Object.fromEntries(
  ["json", "join", "lower", "upper", "title", "truncate"].map((name) => [name, fn("any any...", (value) => value)]),
);

function toJson(value: unknown): string {
  return JSON.stringify(value ?? null);
}

function pad(text: string, before: number, after: number): string {
  return text && " ".repeat(before) + text + " ".repeat(after);
}

/** Go's Sprint: a blank between two values of which neither is a string. */
function print(...values: unknown[]): string {
  const isText = (index: number) => typeof values[index] === "string";
  return values.map((each, i) => (i && !isText(i) && !isText(i - 1) ? " " : "") + formatValue(each)).join("");
}

function lengthOf(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (isGoMap(value)) return Object.keys(value).length;
  throw new UsageError(value === null ? "len of nil pointer" : `len of type ${goType(value)}`);
}

/** Strings consist of bytes. A map of strings has an empty one for each key that it lacks. */
function element(value: unknown, key: unknown): unknown {
  if (isGoMap(value)) return value[String(key)] ?? "";
  if (value === null || value === undefined) throw new UsageError("index of untyped nil");
  if (!Array.isArray(value) && typeof value !== "string")
    throw new UsageError(`can't index item of type ${goType(value)}`);
  if (typeof key !== "number") throw new UsageError(`cannot index slice/array with type ${goType(key)}`);
  const items: ArrayLike<unknown> = typeof value === "string" ? Buffer.from(value) : value;
  if (key < 0 || key >= items.length) throw new UsageError(`index out of range: ${key}`);
  return items[key];
}

function slice(value: unknown, start = 0, end?: number): unknown {
  const items = typeof value === "string" ? Buffer.from(value) : value;
  if (!Buffer.isBuffer(items) && !Array.isArray(items)) {
    throw new UsageError(`can't slice item of type ${goType(value)}`);
  }
  const last = end ?? items.length;
  for (const at of [start, last]) if (at < 0 || at > items.length) throw new UsageError(`index out of range: ${at}`);
  if (start > last) throw new UsageError(`invalid slice index: ${start} > ${last}`);
  return Buffer.isBuffer(items) ? items.subarray(start, last).toString() : items.slice(start, last);
}

/** Whether the first equals one of the others. */
function equal(first: unknown, ...others: unknown[]): boolean {
  if (!others.length) throw new UsageError("missing argument for comparison");
  return others.some((other) => {
    if (first === null || other === null) return first === other;
    checkKinds(first, other);
    return first === other;
  });
}

function compare(a: unknown, b: unknown): number {
  checkKinds(a, b);
  if (typeof a !== "string" && typeof a !== "number") throw new UsageError("invalid type for comparison");
  return a === b ? 0 : a < (b as typeof a) ? -1 : 1;
}

function checkKinds(a: unknown, b: unknown): void {
  if (typeof a === "object") throw new UsageError(`non-comparable type ${goType(a)}`);
  if (typeof a !== typeof b) throw new UsageError("incompatible types for comparison");
}
