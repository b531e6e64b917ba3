import { expect, test } from "bun:test";
import { applyFilters, type Filter, hasLabel, matchesGlob, parseFlagFilter } from "../../src/format/filters.ts";

const items = [
  { name: "web", status: "running", labels: { a: "1", b: "2" } },
  { name: "db", status: "exited", labels: { a: "1" } },
  { name: "cache", status: "created", labels: {} },
];
const tests = {
  name: (item: (typeof items)[number], value: string) => item.name === value,
  status: (item: (typeof items)[number], value: string) => item.status === value,
  label: (item: (typeof items)[number], value: string) => hasLabel(item.labels as Record<string, string>, value),
  "label!": (item: (typeof items)[number], value: string) => !hasLabel(item.labels as Record<string, string>, value),
};
const names = (...filters: Filter[]) => applyFilters(items, filters, tests).map(({ name }) => name);

test("of one name any value fits, of several names all must", () => {
  expect(names(["status", "running"], ["status", "exited"])).toEqual(["web", "db"]);
  expect(names(["status", "running"], ["name", "db"])).toEqual([]);
});
test("of labels all must fit", () => {
  expect(names(["label", "a"])).toEqual(["web", "db"]);
  expect(names(["label", "a=1"], ["label", "b=2"])).toEqual(["web"]);
  expect(names(["label", "a=2"])).toEqual([]);
  expect(names(["label!", "b"], ["label!", "a=1"])).toEqual(["cache"]);
});
test("no filter lets all through, an unknown one is an error even without items", () => {
  expect(names()).toHaveLength(3);
  expect(() => applyFilters([], [["nope", "x"]], tests)).toThrow("invalid filter 'nope'");
  expect(() => applyFilters([], [["constructor", "x"]], tests)).toThrow("invalid filter 'constructor'");
});
test("globs stop at a slash", () => {
  expect(matchesGlob("alpine:latest", "alp*")).toBe(true);
  expect(matchesGlob("ghcr.io/a/b", "ghcr.io/*")).toBe(false);
  expect(matchesGlob("ghcr.io/a/b", "ghcr.io/?/[a-c]")).toBe(true);
  expect(matchesGlob("a+b", "a.b")).toBe(false);
});
test("true and false have their spellings", () => {
  expect([parseFlagFilter("dangling", "true"), parseFlagFilter("dangling", "0")]).toEqual([true, false]);
  expect(() => parseFlagFilter("dangling", "maybe")).toThrow("invalid filter 'dangling=maybe'");
});
