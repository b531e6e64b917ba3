import { expect, test } from "bun:test";
import { historyRows, historyStyle } from "../../src/format/history.ts";
import { imageTree } from "../../src/format/image-tree.ts";
import { formatList } from "../../src/output.ts";
import type { Image } from "../../src/storage/images.ts";

const hex = "0123456789abcdef".repeat(4);
const created = "2026-01-01T00:00:00Z";
const image = {
  id: `sha256:${hex}`,
  digest: `sha256:${"f".repeat(64)}`,
  references: ["docker.io/library/app:1"],
  manifest: { config: { size: 1000 }, layers: [{ size: 3_000_000 }] },
  config: {
    history: [
      { created, created_by: `/bin/sh -c #(nop) ADD file:${hex} in /` },
      { created, created_by: "CMD\t[sh]", empty_layer: true, comment: "buildkit" },
    ],
  },
  platform: { os: "linux", architecture: "amd64" },
  sizeBytes: 8_090_000,
} as unknown as Image;
const nowMs = Date.parse("2026-01-22T00:00:00Z");

test("history lists the steps, the last first, in Docker's columns", () => {
  expect(formatList(historyRows(image, [8_090_000], { nowMs }), historyStyle(true), "table").split("\n")).toEqual([
    "IMAGE          CREATED       CREATED BY                                      SIZE      COMMENT",
    "0123456789ab   3 weeks ago   CMD [sh]                                        0B        buildkit",
    `<missing>      3 weeks ago   /bin/sh -c #(nop) ADD file:0123456789abcdef0…   8.09MB    `,
    "",
  ]);
});

test("what an image says of itself acts on no terminal, and breaks no table", () => {
  const history = [{ created, created_by: "a\nb\x1b[31m", comment: "\x9bc" }, { created_by: null }];
  const [last, first] = historyRows({ ...image, config: { history } } as unknown as Image, []);
  expect(first).toMatchObject({ CreatedBy: "a b\\x1b[31m", Comment: "\\x9bc" });
  expect(last).toMatchObject({ CreatedBy: "", Comment: "" });
});

test("not for people: whole ids, commands, times and sizes", () => {
  const rows = historyRows(image, [8_090_000], { full: true, human: false, nowMs });
  expect(rows).toMatchObject([
    { ID: image.id, CreatedAt: created, Size: "0" },
    { ID: "<missing>", CreatedBy: `/bin/sh -c #(nop) ADD file:${hex} in /`, Size: "8090000" },
  ]);
  expect(historyStyle(false).standard).toContain("{{.CreatedAt}}");
});

test("the tree has each name, the platform, and who is in use", () => {
  expect(imageTree([image], new Set([image.id]))).toEqual([
    "IMAGE            ID             DISK USAGE   CONTENT SIZE   EXTRA",
    "app:1            ffffffffffff       11.1MB            3MB   U",
    "└─ linux/amd64   ffffffffffff       11.1MB            3MB   U",
  ]);
});
