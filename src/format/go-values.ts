/** Go's values, as templates see them: what is true, how things print, and maps and lists that JavaScript has no kind for. */

/** A Go map: what templates range over and index, where a missing key is no error. By key, as Go walks and writes it. */
export function goMap<T>(
  entries: Iterable<readonly [string, T]> | Record<string, T> | null | undefined,
): Record<string, T> {
  const pairs =
    entries && Symbol.iterator in entries ? [...(entries as Iterable<[string, T]>)] : Object.entries(entries ?? {});
  return Object.assign(Object.create(null), Object.fromEntries(pairs.toSorted(byKey)));
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** A map or list; where there is none, Go's nil one: to templates it is empty, in JSON `null`. */
export function mapOrNil<T>(entries: Record<string, T> | null | undefined): Record<string, T> {
  return entries ? goMap(entries) : asNull(goMap<T>({}));
}
export function listOrNil<T>(list: T[] | null | undefined): T[] {
  return list?.length ? list : asNull([]);
}
function asNull<T extends object>(value: T): T {
  return Object.defineProperty(value, "toJSON", { value: () => null });
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

/** As Go's errors call it. JavaScript has one kind of number: what is whole is an int. */
export function goType(value: unknown): string {
  if (value === null || value === undefined) return "nil";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float64";
  if (Array.isArray(value)) return "[]string";
  return isGoMap(value) ? "map" : typeof value === "object" ? "struct" : typeof value;
}

/** Go's %v. null is a nil pointer, undefined a key that a map does not have. */
export function formatValue(value: unknown): string {
  if (value === undefined) return "<no value>";
  if (value === null) return "<nil>";
  const inner = (each: unknown) => formatValue(each ?? null);
  if (Array.isArray(value)) return `[${value.map(inner).join(" ")}]`;
  if (typeof value !== "object") return String(value);
  if (!isGoMap(value)) return `{${Object.values(value).map(inner).join(" ")}}`;
  const entries = Object.entries(value).map(([key, each]) => `${key}:${inner(each)}`);
  return `map[${entries.join(" ")}]`;
}
