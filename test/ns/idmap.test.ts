import { expect, test } from "bun:test";
import { parseSubordinateIds, toMapArguments, toMappings } from "../../src/ns/idmap.ts";

test("a range belongs to a user by name or by uid, and others' lines do not count", () => {
  const text = "ann:100000:65536\n1000:300000:10\nbob:200000:65536\n\n# comment\nann:x:5\n";
  expect(parseSubordinateIds(text, "ann", 1000)).toEqual([
    { start: 100000, count: 65536 },
    { start: 300000, count: 10 },
  ]);
  expect(parseSubordinateIds(text, undefined, 7)).toEqual([]);
});

test("ids inside begin with the user's own and have no gap", () => {
  const mappings = toMappings(1000, [
    { start: 100000, count: 65536 },
    { start: 300000, count: 10 },
  ]);
  expect(mappings).toEqual([
    { containerID: 0, hostID: 1000, size: 1 },
    { containerID: 1, hostID: 100000, size: 65536 },
    { containerID: 65537, hostID: 300000, size: 10 },
  ]);
  expect(toMapArguments(mappings).join(" ")).toBe("0 1000 1 1 100000 65536 65537 300000 10");
});

test("real root maps none of its own ids", () => {
  expect(toMappings(undefined, [{ start: 2e9, count: 10 }])).toEqual([{ containerID: 0, hostID: 2e9, size: 10 }]);
});
