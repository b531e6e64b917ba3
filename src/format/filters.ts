/** `--filter name=value`: every name must fit, each by one of its values; of labels all must. */

import { UsageError } from "../errors.ts";
import { parseKeyValue } from "../values.ts";

export type Filter = [name: string, value: string];
/** For a value, whether an item fits it. What is wrong with a value is thrown at once: also where there are no items. */
export type FilterTests<T> = Record<string, (value: string) => (item: T) => boolean>;

/** The items that fit. Throws UsageError for a name that has no test. */
export function applyFilters<T>(items: T[], filters: Filter[], tests: FilterTests<T>): T[] {
  return filters.length ? items.filter(toTest(filters, tests)) : items;
}

/** Whether one item fits. Throws as applyFilters does. */
export function toTest<T>(filters: Filter[], tests: FilterTests<T>): (item: T) => boolean {
  const byName = Map.groupBy(filters, ([name]) => name);
  const checks = [...byName].map(([name, entries]) => {
    if (!Object.hasOwn(tests, name)) {
      throw new UsageError(`invalid filter '${name}'`, { hint: `the filters are ${Object.keys(tests).join(", ")}` });
    }
    const fits = entries.map(([, value]) => tests[name]!(value));
    if (/^label!?$/.test(name)) return (item: T) => fits.every((each) => each(item));
    return (item: T) => fits.some((each) => each(item));
  });
  return (item) => checks.every((check) => check(item));
}

/** `key` or `key=value`. */
export function hasLabel(labels: Record<string, string> | null | undefined, wanted: string): boolean {
  const [key, value] = parseKeyValue(wanted);
  const found = labels && Object.hasOwn(labels, key) ? labels[key] : undefined;
  return found !== undefined && (!wanted.includes("=") || found === value);
}

/** Docker's filters by name and id are regular expressions. */
export function matchesPattern(text: string, pattern: string): boolean {
  try {
    return new RegExp(pattern).test(text);
  } catch {
    return text === pattern;
  }
}

/** Go's path.Match: `*` and `?` stop at a slash. */
export function matchesGlob(text: string, glob: string): boolean {
  const pattern = glob.replace(/\[[^\]]*\]|[\s\S]/g, (part) => {
    if (part === "*") return "[^/]*";
    if (part === "?") return "[^/]";
    return part.length > 1 ? part : part.replace(/[\\^$.*+?()[\]{}|]/, "\\$&");
  });
  return matchesPattern(text, `^(?:${pattern})$`);
}

/** The value of a filter that is true or false. */
export function parseFlagFilter(name: string, value: string): boolean {
  if (["1", "true"].includes(value.toLowerCase())) return true;
  if (["0", "false"].includes(value.toLowerCase())) return false;
  throw new UsageError(`invalid filter '${name}=${value}'`);
}
