import { expect, test } from "bun:test";
import { fuseMapping, keptIdMap, outerId, parseUserns } from "../src/keep-id.ts";
import type { IdMapping } from "../src/spec.ts";

const usual: IdMapping[] = [
  { containerID: 0, hostID: 1002, size: 1 },
  { containerID: 1, hostID: 100_000, size: 65_536 },
];

test("the kept id is the caller, those below it move up, and those above it stay", () => {
  expect(keptIdMap(usual, 1000)).toEqual([
    { containerID: 0, hostID: 1, size: 1000 },
    { containerID: 1000, hostID: 0, size: 1 },
    { containerID: 1001, hostID: 1001, size: 64_536 },
  ]);
});

test("every id is mapped once, within one range of the user's namespace each, also at the ends and with many ranges", () => {
  const ranges = [
    { containerID: 0, hostID: 1002, size: 1 },
    { containerID: 1, hostID: 100_000, size: 10 },
    { containerID: 11, hostID: 500_000, size: 20 },
  ];
  for (const kept of [0, 1, 5, 10, 11, 15, 30]) {
    const map = keptIdMap(ranges, kept);
    const pairs = map.flatMap(({ containerID, hostID, size }) =>
      Array.from({ length: size }, (_, index) => [containerID + index, hostID + index] as const),
    );
    expect(pairs.map(([inner]) => inner).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 31 }, (_, id) => id));
    for (const [inner, outer] of pairs) expect(outerId(inner, kept)).toBe(outer);
    for (const { hostID, size } of map) {
      const isWithin = (range: IdMapping) =>
        hostID >= range.containerID && hostID + size <= range.containerID + range.size;
      expect(ranges.some(isWithin)).toBe(true);
    }
  }
});

test("fuse-overlayfs shows ids on disk by the same rule", () => {
  expect(fuseMapping(1000)).toBe("0:1:1000:1000:0:1:1001:1001:2147482646");
  expect(fuseMapping(0)).toBe("0:0:1:1:1:2147483646");
});

test("--userns as podman words it", () => {
  expect(parseUserns("")).toBeUndefined();
  expect(parseUserns("host")).toBeUndefined();
  expect(parseUserns("keep-id")).toEqual({ mode: "keep-id" });
  expect(parseUserns("keep-id:uid=7,gid=8")).toEqual({ mode: "keep-id", uid: 7, gid: 8 });
  expect(parseUserns("caller")).toEqual({ mode: "caller" });
  expect(() => parseUserns("auto")).toThrow("user namespace mode auto is not supported");
  expect(() => parseUserns("keep-id:uid=x")).toThrow('unknown option specified: "uid=x"');
});
