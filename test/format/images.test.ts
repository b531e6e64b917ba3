import { expect, test } from "bun:test";
import { imageListStyle, imageRows, inspectImage } from "../../src/format/images.ts";
import { formatList } from "../../src/output.ts";
import type { Image } from "../../src/storage/images.ts";

const hex = "0123456789abcdef".repeat(4);
const image: Image = {
  id: `sha256:${hex}`,
  digest: `sha256:${"f".repeat(64)}`,
  references: ["docker.io/library/alpine:latest", `docker.io/library/alpine@sha256:${"f".repeat(64)}`, "ghcr.io/a/b:1"],
  manifest: {} as Image["manifest"],
  config: {
    os: "linux",
    architecture: "amd64",
    config: { Cmd: ["/bin/sh"], Labels: { a: "1" } },
    rootfs: { type: "layers", diff_ids: ["sha256:1"] },
  },
  platform: { os: "linux", architecture: "amd64" },
  sizeBytes: 8_090_000,
  created: "2026-01-01T00:00:00Z",
};
const options = { nowMs: Date.parse("2026-01-22T00:00:00Z") };

test("the classic table has a line for each tag", () => {
  expect(formatList(imageRows(image, options), imageListStyle(false), "table")).toBe(
    [
      "REPOSITORY    TAG       IMAGE ID       CREATED       SIZE",
      "alpine        latest    0123456789ab   3 weeks ago   8.09MB",
      "ghcr.io/a/b   1         0123456789ab   3 weeks ago   8.09MB",
      "",
    ].join("\n"),
  );
});

test("the digest is the one that the repository was pulled by, else the manifest's", () => {
  const index = `sha256:${"e".repeat(64)}`;
  const references = ["docker.io/library/alpine:latest", `docker.io/library/alpine@${index}`, "ghcr.io/a/b:1"];
  expect(imageRows({ ...image, references }, options).map((row) => row.Digest)).toEqual([index, image.digest]);
});

test("an image without a name is <none>", () => {
  expect(imageRows({ ...image, references: [] }, options)).toMatchObject([{ Repository: "<none>", Tag: "<none>" }]);
});

test("an image with a digest for a name has no tag", () => {
  expect(imageRows({ ...image, references: image.references.slice(1, 2) }, options)).toMatchObject([
    { Repository: "alpine", Tag: "<none>", Digest: image.digest },
  ]);
});

test("inspect has Docker's field names", () => {
  expect(JSON.parse(JSON.stringify(inspectImage(image)))).toMatchObject({
    Id: image.id,
    RepoTags: ["alpine:latest", "ghcr.io/a/b:1"],
    RepoDigests: [`alpine@${image.digest}`, `ghcr.io/a/b@${image.digest}`],
    Config: { Cmd: ["/bin/sh"], Entrypoint: null },
    RootFS: { Type: "layers", Layers: ["sha256:1"] },
    Size: 8_090_000,
  });
});
