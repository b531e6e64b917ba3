import { expect, test } from "bun:test";
import { applyFilters, type Filter, hasLabel, matchesGlob, parseFlagFilter } from "../../src/format/filters.ts";

const items = [
  { name: "web", status: "running", labels: { a: "1", b: "2" } },
  { name: "db", status: "exited", labels: { a: "1" } },
  { name: "cache", status: "created", labels: {} },
];
const tests = {
  name: (value: string) => (item: (typeof items)[number]) => item.name === value,
  status: (value: string) => (item: (typeof items)[number]) => item.status === value,
  label: (value: string) => (item: (typeof items)[number]) => hasLabel(item.labels as Record<string, string>, value),
  "label!": (value: string) => (item: (typeof items)[number]) =>
    !hasLabel(item.labels as Record<string, string>, value),
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
test("a wrong value is told even without items", () => {
  const flags = {
    dangling: (value: string) => {
      const wanted = parseFlagFilter("dangling", value);
      return () => wanted;
    },
  };
  expect(() => applyFilters([], [["dangling", "maybe"]], flags)).toThrow("invalid filter 'dangling=maybe'");
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
