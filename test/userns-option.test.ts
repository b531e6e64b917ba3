import { expect, test } from "bun:test";
import { parseUserns } from "../src/userns-option.ts";

test("--userns as podman words it", () => {
  expect(parseUserns("")).toBeUndefined();
  expect(parseUserns("host")).toBeUndefined();
  expect(parseUserns("keep-id")).toEqual({ mode: "keep-id" });
  expect(parseUserns("keep-id:uid=7,gid=8")).toEqual({ mode: "keep-id", uid: 7, gid: 8 });
  expect(parseUserns("caller")).toEqual({ mode: "caller" });
  expect(parseUserns("auto")).toEqual({ mode: "auto", uidMappings: [], gidMappings: [] });
  expect(parseUserns("auto:size=9,uidmapping=5:0:1,uidmapping=7:8,gidmapping=0:0:2")).toEqual({
    mode: "auto",
    size: 9,
    uidMappings: [
      { containerID: 5, hostID: 0, size: 1 },
      { containerID: 7, hostID: 8, size: 1 },
    ],
    gidMappings: [{ containerID: 0, hostID: 0, size: 2 }],
  });
});

test.each([
  ["nomap", "user namespace mode nomap is not supported"],
  ["keep-id:uid=x", 'unknown option specified: "uid=x"'],
  ["keep-id:size=5", 'unknown option specified: "size=5"'],
  ["auto:uid=5", 'unknown option specified: "uid=5"'],
  ["auto:size=0", "invalid user namespace size: it has to be one at least"],
  ["auto:uidmapping=5", 'invalid ID mapping: "uidmapping=5"'],
  ["auto:uidmapping=5:6:0", 'invalid ID mapping: "uidmapping=5:6:0"'],
  ["caller:uid=5", "user namespace mode caller:uid=5 is not supported"],
])("--userns %s is refused", (text, message) => {
  expect(() => parseUserns(text)).toThrow(message);
});
