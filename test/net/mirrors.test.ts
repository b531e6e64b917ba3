import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { config } from "../../src/config.ts";
import { endpointsFor } from "../../src/net/mirrors.ts";
import { parseReference } from "../../src/reference.ts";

const before = { ...config };
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pod-test-mirrors-"));
  config.xdgConfigHome = directory;
  config.registriesConf = undefined;
});
afterEach(() => {
  Object.assign(config, before);
  rmSync(directory, { recursive: true });
});

function write(name: string, text: string): void {
  mkdirSync(dirname(join(directory, name)), { recursive: true });
  writeFileSync(join(directory, name), text);
}
const places = (text: string) =>
  endpointsFor(parseReference(text)).map(({ bases, repository }) => bases.map((base) => `${base} ${repository}`));

test("docker.io is asked at its API's host, over TLS only", () => {
  write("containers/registries.conf", "");
  expect(places("alpine")).toEqual([["https://registry-1.docker.io library/alpine"]]);
});

test("a registry on loopback may speak plain HTTP, another not", () => {
  write("containers/registries.conf", "");
  expect(places("localhost:5000/a")).toEqual([["http://localhost:5000 a", "https://localhost:5000 a"]]);
  expect(places("127.3.2.1:5000/a")[0]).toHaveLength(2);
  expect(places("[::1]:5000/a")[0]).toHaveLength(2);
  expect(places("127.0.0.1.example.org/a")[0]).toHaveLength(1);
  expect(places("quay.io/a")[0]).toHaveLength(1);
});

test("mirrors come first, in their order", () => {
  const mirrors =
    '[[registry.mirror]]\nlocation="one.example"\n[[registry.mirror]]\nlocation="127.0.0.1:5000/hub"\ninsecure=true';
  write("containers/registries.conf", `[[registry]]\nlocation="docker.io"\n${mirrors}`);
  expect(places("alpine")).toEqual([
    ["https://one.example library/alpine"],
    ["http://127.0.0.1:5000 hub/library/alpine", "https://127.0.0.1:5000 hub/library/alpine"],
    ["https://registry-1.docker.io library/alpine"],
  ]);
});

test("the longest prefix rules, by whole components, and its location replaces it", () => {
  const entries = [
    '[[registry]]\nprefix="example.org"\nlocation="all.example"',
    '[[registry]]\nprefix="example.org/team"\nlocation="team.example/x"\ninsecure=true',
    '[[registry]]\nprefix="*.corp.example"\nlocation="proxy.example"',
  ];
  write("containers/registries.conf", entries.join("\n"));
  expect(places("example.org/team/app")).toEqual([["https://team.example x/app", "http://team.example x/app"]]);
  expect(places("example.org/teamwork")).toEqual([["https://all.example teamwork"]]);
  expect(places("a.corp.example/app")).toEqual([["https://proxy.example app"]]);
  expect(places("example.org.evil/app")).toEqual([["https://example.org.evil app"]]);
});

test("pull-from-mirror tells tags from digests", () => {
  const mirrors = ["digest-only", "tag-only"].map(
    (which) => `[[registry.mirror]]\nlocation="${which}.example"\npull-from-mirror="${which}"`,
  );
  write("containers/registries.conf", `[[registry]]\nlocation="quay.io"\n${mirrors.join("\n")}`);
  expect(places("quay.io/a:1")[0]).toEqual(["https://tag-only.example a"]);
  expect(places(`quay.io/a@sha256:${"0".repeat(64)}`)[0]).toEqual(["https://digest-only.example a"]);
});

test("a blocked registry is an error that names the file", () => {
  write("containers/registries.conf", '[[registry]]\nlocation="quay.io"\nblocked=true');
  expect(() => places("quay.io/a")).toThrow(`registry quay.io is blocked by ${directory}/containers/registries.conf`);
});

test("a drop-in replaces what the main file says of a prefix", () => {
  write("containers/registries.conf", '[[registry]]\nlocation="quay.io"\nblocked=true');
  write("containers/registries.conf.d/50-open.conf", '[[registry]]\nlocation="quay.io"');
  expect(places("quay.io/a")).toEqual([["https://quay.io a"]]);
});

test("Docker's registry-mirrors are for docker.io only", () => {
  write("containers/registries.conf", "");
  write("docker/daemon.json", '{"registry-mirrors": ["http://mirror.example:5000/", "https://m2.example/hub"]}');
  expect(places("alpine").flat()).toEqual([
    "http://mirror.example:5000 library/alpine",
    "https://m2.example/hub library/alpine",
    "https://registry-1.docker.io library/alpine",
  ]);
  expect(places("quay.io/a")).toHaveLength(1);
});

test("Docker's insecure-registries are hosts, ports and networks", () => {
  write("containers/registries.conf", "");
  write("docker/daemon.json", '{"insecure-registries": ["one.example:5000", "10.1.0.0/16"]}');
  expect(places("one.example:5000/a")[0]).toHaveLength(2);
  expect(places("one.example:5001/a")[0]).toHaveLength(1);
  expect(places("10.1.200.3:5000/a")[0]).toHaveLength(2);
  expect(places("10.2.0.1:5000/a")[0]).toHaveLength(1);
});

test("a file that can't be understood is named", () => {
  write("containers/registries.conf", "[[registry");
  expect(() => places("alpine")).toThrow("containers/registries.conf is not valid TOML");
  write("containers/registries.conf", '[[registry]]\nlocation="https://quay.io"');
  expect(() => places("alpine")).toThrow("needs a prefix or location");
  write("containers/registries.conf", "");
  write("docker/daemon.json", "{");
  expect(() => places("alpine")).toThrow("docker/daemon.json is not valid JSON");
  config.registriesConf = join(directory, "absent");
  expect(() => places("alpine")).toThrow("CONTAINERS_REGISTRIES_CONF names");
});

test.each([
  ['location="quay.io"\ninsecure="yes"', "each [[registry]] needs"],
  [
    'location="quay.io"\n[[registry.mirror]]\nlocation="m.example"\npull-from-mirror="never"',
    "unsupported pull-from-mirror",
  ],
  [
    'location="quay.io"\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation="m.example"\npull-from-mirror="all"',
    "one of them",
  ],
])("[[registry]] with %p is refused", (text, reason) => {
  write("containers/registries.conf", `[[registry]]\n${text}`);
  expect(() => places("quay.io/a")).toThrow(reason);
});
