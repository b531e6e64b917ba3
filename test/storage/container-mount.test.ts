import { expect, test } from "bun:test";
import { parseTmpfs } from "../../src/mounts/tmpfs-option.ts";
import { parseVolume } from "../../src/mounts/volume-option.ts";
import { formerMounts, volumesOf } from "../../src/storage/container-mount.ts";

test("a record from before there were volumes is read as one of today", () => {
  const former = {
    binds: [{ source: "/a", destination: "/b", readonly: true }],
    tmpfs: [{ destination: "/t", options: ["nosuid", "nodev", "noexec"] }],
  };
  expect(formerMounts(former)).toEqual([parseVolume("/a:/b:ro"), parseTmpfs("/t")]);
  expect(formerMounts({})).toEqual([]);
});

test("a volume that is mounted twice is used once", () => {
  const mounts = ["data:/a", "data:/b", "/x:/c", "more:/d"].map(parseVolume);
  expect(volumesOf({ mounts })).toEqual(["data", "more"]);
});
