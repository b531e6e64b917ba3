import { expect, test } from "bun:test";
import { chooseIds, neededIds } from "../src/auto-ids.ts";
import type { AutoIds } from "../src/container-ids.ts";
import type { IdMapping } from "../src/spec.ts";

const usual = [
  { containerID: 0, hostID: 1002, size: 1 },
  { containerID: 1, hostID: 100_000, size: 65_536 },
];
const parents = { uid: usual, gid: usual };
const wish = (uidMappings: IdMapping[] = [], gidMappings: IdMapping[] = []) => ({
  mode: "auto" as const,
  uidMappings,
  gidMappings,
});
const sized = (count: number) => [{ start: 0, count }];
const map = (containerID: number, hostID: number, size: number) => ({ containerID, hostID, size });

test("the first free ids are taken, never the caller's own", () => {
  const first = chooseIds(sized(1024), wish(), parents, []);
  expect(first).toEqual({ mode: "auto", uidMappings: [map(0, 1, 1024)], gidMappings: [map(0, 1, 1024)] });
  const second = chooseIds(sized(10), wish(), parents, [first]);
  expect(second.uidMappings).toEqual([map(0, 1025, 10)]);
});

test("ids are disjoint, however many come and go", () => {
  const live: AutoIds[] = [];
  for (let turn = 0; turn < 300; turn++) {
    if (live.length > 40) live.splice((turn * 7) % live.length, 1);
    live.push(chooseIds(sized(1 + ((turn * 331) % 1500)), wish(), parents, live));
    const all = live.flatMap(({ uidMappings }) => uidMappings).toSorted((a, b) => a.hostID - b.hostID);
    for (const [index, { hostID }] of all.entries()) {
      const before = all[index - 1];
      expect(hostID).toBeGreaterThanOrEqual(before ? before.hostID + before.size : 1);
    }
  }
});

test("mappings that were asked for are there, and the other ids around them", () => {
  const ids = chooseIds(sized(100), wish([map(50, 0, 1), map(2000, 60, 5)]), parents, []);
  expect(ids.uidMappings).toEqual([map(0, 1, 50), map(50, 0, 1), map(51, 51, 9), map(60, 65, 40), map(2000, 60, 5)]);
  expect(ids.gidMappings).toEqual([map(0, 1, 100)]);
});

test("no range reaches from one of the user's into the next", () => {
  const uid = [map(0, 1002, 1), map(1, 100_000, 10), map(11, 500_000, 20)];
  expect(chooseIds(sized(15), wish(), { uid, gid: usual }, []).uidMappings).toEqual([map(0, 1, 10), map(10, 11, 5)]);
});

test("where there are too few, an error says how many, and who has the others", () => {
  const other = chooseIds(sized(65_000), wish(), parents, []);
  expect(() => chooseIds(sized(1024), wish(), parents, [other])).toThrow(
    "user namespace mode auto: could not find enough available uids: 1024 are wanted, and 536 of yours are free; 1 container has ids of its own",
  );
});

test("mappings to ids that are not the user's, and those that overlap, are refused", () => {
  expect(() => chooseIds(sized(1), wish([map(0, 65_537, 1)]), parents, [])).toThrow(
    "uidmapping: 65537 is none of your ids, which go from 0, you, to 65536",
  );
  expect(() => chooseIds(sized(1), wish([], [map(0, 5, 3), map(2, 9, 1)]), parents, [])).toThrow(
    "the ranges of gidmapping overlap",
  );
  expect(() => chooseIds(sized(1), wish([map(0, 5, 3), map(9, 7, 1)]), parents, [])).toThrow(
    "the ranges of uidmapping overlap",
  );
});

test("an image gets as many ids as its accounts need, and 65534 by itself", () => {
  const passwd = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
  expect(neededIds("", "", "")).toEqual([{ start: 0, count: 1024 }]);
  expect(neededIds(passwd, "", "")).toEqual([
    { start: 0, count: 1024 },
    { start: 65_534, count: 1 },
  ]);
  expect(neededIds(passwd, "big:x:3000:\n", "")[0]).toEqual({ start: 0, count: 3001 });
  expect(neededIds(`${passwd}app:x:4711:4712::/:/bin/sh\n`, "", "app")[0]).toEqual({ start: 0, count: 4713 });
  expect(neededIds("", "", "70000")).toEqual([{ start: 0, count: 70_001 }]);
});
