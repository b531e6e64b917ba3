/** Names of images: given and taken, and what is listed by them. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { tar } from "../storage/archive.ts";
import { shell } from "./crafted.ts";
import { Host } from "./harness.ts";

setDefaultTimeout(60_000);
const host = new Host();
let id: string;
const short = () => id.slice(7, 19);
const expectError = async (words: string, ...args: string[]) => {
  const { code, stdout, stderr } = await host.pod(...args);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toStartWith(`pod: ${words}`);
};
const names = () => host.must("images", "--format", "{{.Repository}}:{{.Tag}}").then((text) => text.split("\n"));

beforeAll(async () => {
  host.open();
  writeFileSync(join(host.work, "a.tar"), tar(...shell()));
  id = await host.must("import", "-c", "LABEL kind=test", join(host.work, "a.tar"), "app");
});
afterAll(() => host.close(), 60_000);

test("an image gets names, by its name, its id or its id's beginning, and loses them", async () => {
  await host.must("tag", "app", "app:1");
  await host.must("tag", id, "quay.io/team/app:2");
  await host.must("image", "tag", short(), "x/y", `long:${"t".repeat(128)}`);
  expect((await names()).toSorted()).toEqual([
    "app:1",
    "app:latest",
    `long:${"t".repeat(128)}`,
    "quay.io/team/app:2",
    "x/y:latest",
  ]);
  await expectError("x/z:latest: tag not known", "untag", "app", "x/z");
  await host.must("untag", "app", "x/y", `long:${"t".repeat(128)}`);
  expect((await names()).toSorted()).toEqual(["app:1", "app:latest", "quay.io/team/app:2"]);
});

test("names that can be none are refused in Docker's words", async () => {
  await expectError(
    'Error parsing reference: "a:b:c" is not a valid repository/tag: invalid reference format\n',
    "tag",
    "app",
    "a:b:c",
  );
  await expectError(
    `Error parsing reference: "a:${"t".repeat(129)}" is not a valid repository/tag: invalid reference format\n`,
    "tag",
    "app",
    `a:${"t".repeat(129)}`,
  );
  await expectError(
    'Error parsing reference: "Up" is not a valid repository/tag: invalid reference format: repository name (library/Up) must be lowercase\n',
    "tag",
    "app",
    "Up",
  );
  await expectError("refusing to create an ambiguous tag using digest algorithm as name\n", "tag", "app", "sha256:abc");
  await expectError("refusing to create a tag with a digest reference\n", "tag", "app", `a@sha256:${"0".repeat(64)}`);
  await expectError("No such image: nosuch:latest\n", "tag", "nosuch", "a");
  await expectError("'pod tag' requires at least 2 arguments\n", "tag", "app");
});

test("images are found by all filters", async () => {
  const old = await host.must("import", join(host.work, "a.tar"), "newer:1");
  const list = (...filters: string[]) =>
    host
      .must("images", "-q", "--no-trunc", ...filters.flatMap((filter) => ["-f", filter]))
      .then((text) => [...new Set(text.split("\n"))]);
  expect(await list("label=kind=test")).toEqual([id]);
  expect(await list("label=kind=other")).toEqual([""]);
  expect(await list("before=newer:1")).toEqual([id]);
  expect(await list("since=app")).toEqual([old]);
  expect(await list("reference=quay.io/*/app")).toEqual([id]);
  expect(await list("reference=app:1", "reference=newer")).toEqual([old, id]);
  expect(await list("until=1h")).toEqual([""]);
  expect(await list("dangling=true")).toEqual([""]);
  await expectError("invalid filter 'nosuch'", "images", "-f", "nosuch=1");
  await host.must("rmi", "newer:1");
});

test("exists says it by its exit code", async () => {
  expect((await host.pod("image", "exists", "app")).code).toBe(0);
  expect((await host.pod("image", "exists", "nosuch")).code).toBe(1);
});

test("the tree has a line for each layer, --tree one for the platform", async () => {
  expect((await host.must("image", "tree", "app")).split("\n")).toEqual([
    `Image ID: ${short()}`,
    expect.stringContaining("docker.io/library/app:latest"),
    expect.stringMatching(/^Size: {5}\S+B$/),
    "Image Layers",
    expect.stringMatching(/^└── ID: \w{12} Size: \S+B Top Layer of: \[.*docker\.io\/library\/app:latest/),
  ]);
  expect(await host.must("images", "--tree")).toMatch(/^IMAGE .*\napp:.*\n(.*\n)*└─ linux\//);
  await expectError("--quiet is not yet supported with --tree\n", "images", "--tree", "-q");
});

test("rmi by name takes that name; by id it asks for force where there are several", async () => {
  await host.must("tag", "app", "app:3");
  expect(await host.must("rmi", "app:3")).toBe("Untagged: app:3");
  const words = `conflict: unable to delete ${short()} (must be forced) - image is referenced in multiple repositories\n`;
  await expectError(words, "rmi", short());
  await expectError(words, "rmi", id);
});

test("rmi leaves what a container runs on", async () => {
  const container = await host.must(
    "run",
    "-d",
    "--network",
    "none",
    "app",
    "sh",
    "-c",
    "read x < /dev/zero; /bin/busybox sleep 60",
  );
  await host.must("rmi", "app:1", "quay.io/team/app:2");
  const user = `image is being used by running container ${container.slice(0, 12)}\n`;
  await expectError(`conflict: unable to delete app:latest (must be forced) - ${user}`, "rmi", "app");
  await expectError(`conflict: unable to delete ${short()} (cannot be forced) - ${user}`, "rmi", "-f", id);
  expect(await host.must("rmi", "-f", "app")).toBe("Untagged: app:latest");
  expect(await host.must("images", "-q", "--no-trunc", "-f", "dangling=true")).toBe(id);
  await host.must("rm", "-f", container);
  const [deleted, layer] = (await host.must("rmi", short())).split("\n");
  expect(deleted).toBe(`Deleted: ${id}`);
  expect(layer).toMatch(/^Deleted: sha256:[0-9a-f]{64}$/);
  await expectError(`No such image: ${id}\n`, "rmi", id);
});
