import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { config } from "../src/config.ts";
import { formatReference } from "../src/reference.ts";
import { meaningsOf } from "../src/short-names.ts";

const before = { ...config };
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pod-test-names-"));
  config.xdgConfigHome = join(directory, "config");
  config.xdgCacheHome = join(directory, "cache");
  config.registriesConf = undefined;
  write("config/containers/registries.conf", "");
});
afterEach(() => {
  Object.assign(config, before);
  rmSync(directory, { recursive: true });
});

function write(name: string, text: string): void {
  mkdirSync(dirname(join(directory, name)), { recursive: true });
  writeFileSync(join(directory, name), text);
}
const meanings = (text: string) => meaningsOf(text).map(formatReference);

test("without a word in the files, a name without a registry is on docker.io", () => {
  expect(meanings("pod-test/app:1")).toEqual(["docker.io/pod-test/app:1"]);
});

test("unqualified-search-registries are asked in their order", () => {
  write("config/containers/registries.conf", 'unqualified-search-registries = ["quay.io", "docker.io"]');
  expect(meanings("pod-test:1")).toEqual(["quay.io/pod-test:1", "docker.io/library/pod-test:1"]);
  expect(meanings("team/app")).toEqual(["quay.io/team/app", "docker.io/team/app"]);
});

test("a name with a registry means itself", () => {
  write(
    "config/containers/registries.conf",
    'unqualified-search-registries = ["quay.io"]\n[aliases]\n"a"="b.example/c"',
  );
  for (const name of ["docker.io/a", "localhost/a", "host:5000/a", "quay.io/team/a"]) {
    expect(meanings(name)).toHaveLength(1);
  }
  expect(meanings("docker.io/a")).toEqual(["docker.io/library/a"]);
});

test("an alias is the only meaning, for every tag and digest", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  write(
    "config/containers/registries.conf",
    'unqualified-search-registries = ["quay.io"]\n[aliases]\n"a"="b.example/c"',
  );
  expect(["a", "a:1", `a@${digest}`].flatMap(meanings)).toEqual([
    "b.example/c",
    "b.example/c:1",
    `b.example/c@${digest}`,
  ]);
});

test("a later file wins, an empty alias is none, and what podman has recorded comes last", () => {
  write("config/containers/registries.conf", '[aliases]\n"a"="one.example/a"\n"b"="one.example/b"');
  write("config/containers/registries.conf.d/1.conf", '[aliases]\n"a"="two.example/a"\n"b"=""');
  expect([...meanings("a"), ...meanings("b")]).toEqual(["two.example/a", "docker.io/library/b"]);
  write("cache/containers/short-name-aliases.conf", '[aliases]\n"a"="three.example/a"');
  expect(meanings("a")).toEqual(["three.example/a"]);
});

test("what is not of the form is an error that names the file", () => {
  write("config/containers/registries.conf", 'unqualified-search-registries = "quay.io"');
  expect(() => meanings("a")).toThrow(`${directory}/config/containers/registries.conf: unqualified-search-registries`);
});
