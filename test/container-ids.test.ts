import { expect, test } from "bun:test";
import { type ContainerIds, fuseMapping, innerOwner, nestedMapping, outerOwner } from "../src/container-ids.ts";
import type { IdMapping } from "../src/spec.ts";

const usual: IdMapping[] = [
  { containerID: 0, hostID: 1002, size: 1 },
  { containerID: 1, hostID: 100_000, size: 65_536 },
];
const keptAs = (id: number): ContainerIds => ({ mode: "keep-id", uid: id, gid: id });

test("the kept id is the caller, those below it move up, and those above it stay", () => {
  expect(nestedMapping(keptAs(1000), "uid", usual)).toEqual([
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
    const map = nestedMapping(keptAs(kept), "gid", ranges);
    const pairs = map.flatMap(({ containerID, hostID, size }) =>
      Array.from({ length: size }, (_, index) => [containerID + index, hostID + index] as const),
    );
    expect(pairs.map(([inner]) => inner).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 31 }, (_, id) => id));
    for (const [inner, outer] of pairs) {
      expect(outerOwner({ uid: inner, gid: inner }, keptAs(kept))).toEqual({ uid: outer, gid: outer });
      expect(innerOwner({ uid: outer, gid: outer }, keptAs(kept))).toEqual({ uid: inner, gid: inner });
    }
    for (const { hostID, size } of map) {
      const isWithin = (range: IdMapping) =>
        hostID >= range.containerID && hostID + size <= range.containerID + range.size;
      expect(ranges.some(isWithin)).toBe(true);
    }
  }
});

test("fuse-overlayfs shows ids on disk by the same rule", () => {
  expect(fuseMapping(keptAs(1000), "uid")).toBe("0:1:1000:1000:0:1:1001:1001:2147482646");
  expect(fuseMapping(keptAs(0), "uid")).toBe("0:0:1:1:1:2147483646");
});

const own: ContainerIds = {
  mode: "auto",
  uidMappings: [{ containerID: 0, hostID: 2049, size: 1024 }],
  gidMappings: [
    { containerID: 0, hostID: 5, size: 10 },
    { containerID: 10, hostID: 70, size: 90 },
  ],
};

test("ids of its own are what they are recorded as, cut where the user's namespace has another range", () => {
  expect(fuseMapping(own, "gid")).toBe("0:5:10:10:70:90");
  expect(outerOwner({ uid: 3, gid: 12 }, own)).toEqual({ uid: 2052, gid: 72 });
  expect(innerOwner({ uid: 2052, gid: 72 }, own)).toEqual({ uid: 3, gid: 12 });
  const cut = [
    { containerID: 0, hostID: 1002, size: 8 },
    { containerID: 8, hostID: 100_000, size: 65_536 },
  ];
  expect(nestedMapping(own, "gid", cut)).toEqual([
    { containerID: 0, hostID: 5, size: 3 },
    { containerID: 3, hostID: 8, size: 7 },
    { containerID: 10, hostID: 70, size: 90 },
  ]);
});

test("an id that the container has not got is nobody there, and has no place outside", () => {
  expect(outerOwner({ uid: 1024, gid: 0 }, own)).toBeUndefined();
  expect(outerOwner({ uid: 0, gid: 100 }, own)).toBeUndefined();
  expect(innerOwner({ uid: 0, gid: 15 }, own)).toEqual({ uid: 65534, gid: 65534 });
});
