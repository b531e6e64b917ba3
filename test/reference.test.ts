import { describe, expect, test } from "bun:test";
import {
  familiarName,
  familiarRepository,
  formatReference,
  isDigest,
  parseReference,
  withDefaultTag,
} from "../src/reference.ts";

const digest = `sha256:${"0123456789abcdef".repeat(4)}`;

describe("names mean what they mean to Docker", () => {
  const full: [string, string][] = [
    ["alpine", "docker.io/library/alpine"],
    ["alpine:3.20", "docker.io/library/alpine:3.20"],
    ["user/app", "docker.io/user/app"],
    ["docker.io/alpine", "docker.io/library/alpine"],
    ["index.docker.io/user/app:1", "docker.io/user/app:1"],
    ["localhost/app", "localhost/app"],
    ["localhost:5000/app:1", "localhost:5000/app:1"],
    ["quay.io/org/team/app", "quay.io/org/team/app"],
    ["[::1]:5000/app", "[::1]:5000/app"],
    ["Host/app", "Host/app"],
    [`alpine@${digest}`, `docker.io/library/alpine@${digest}`],
    [`alpine:3.20@${digest}`, `docker.io/library/alpine:3.20@${digest}`],
    ["user/a__b", "docker.io/user/a__b"],
  ];
  for (const [text, expected] of full) {
    test(text, () => expect(formatReference(parseReference(text))).toBe(expected));
  }
});

describe("what Docker refuses is refused, in its words", () => {
  const refused: [string, string][] = [
    ["Alpine", "invalid reference format: repository name (library/Alpine) must be lowercase"],
    ["quay.io/Org/app:X", "invalid reference format: repository name (Org/app) must be lowercase"],
    ["", "invalid reference format"],
    [":tag", "invalid reference format"],
    ["a b", "invalid reference format"],
    ["alpine:", "invalid reference format"],
    [`alpine:${"t".repeat(129)}`, "invalid reference format"],
    ["alpine:-x", "invalid reference format"],
    ["alpine@sha256:123", "invalid reference format"],
    [`alpine@sha256:${"g".repeat(64)}`, "invalid reference format"],
    [`alpine@md5:${"0".repeat(32)}`, "invalid reference format"],
    ["-alpine", "invalid reference format"],
    ["a..b/../c", "invalid reference format"],
    ["../etc/passwd", "invalid reference format"],
    ["alpine\n", "invalid reference format"],
    ["http://alpine", "invalid reference format"],
    ["0".repeat(64), `invalid repository name (${"0".repeat(64)}), cannot specify 64-byte hexadecimal strings`],
  ];
  for (const [text, message] of refused) {
    test(JSON.stringify(text.slice(0, 40)), () => expect(() => parseReference(text)).toThrow(message));
  }
});

test("a repository name has at most 255 characters", () => {
  const path = (length: number) => `quay.io/${"a".repeat(length)}`;
  expect(parseReference(path(255)).path).toHaveLength(255);
  expect(() => parseReference(path(256))).toThrow("must not be more than 255 characters");
});

test("a tag has at most 128 characters", () => {
  expect(parseReference(`alpine:${"t".repeat(128)}`).tag).toHaveLength(128);
});

test("a long name that almost fits the grammar is refused at once", () => {
  const started = performance.now();
  expect(() => parseReference(`${"a-".repeat(20_000)}!`)).toThrow("invalid reference format");
  expect(() => parseReference(`quay.io/${"a/".repeat(20_000)}`)).toThrow("invalid reference format");
  expect(performance.now() - started).toBeLessThan(1000);
});

test("the default tag is added where there is neither tag nor digest", () => {
  expect(withDefaultTag(parseReference("alpine")).tag).toBe("latest");
  expect(withDefaultTag(parseReference("alpine:1")).tag).toBe("1");
  expect(withDefaultTag(parseReference(`alpine@${digest}`)).tag).toBeUndefined();
});

test("the familiar name leaves out what goes without saying", () => {
  const familiar = (text: string) => familiarName(parseReference(text));
  expect(familiar("docker.io/library/alpine:latest")).toBe("alpine:latest");
  expect(familiar(`docker.io/user/app@${digest}`)).toBe(`user/app@${digest}`);
  expect(familiar("docker.io/library/a/b")).toBe("library/a/b");
  expect(familiar("localhost:5000/library/alpine")).toBe("localhost:5000/library/alpine");
  expect(familiarRepository(parseReference("alpine:3.20"))).toBe("alpine");
});

test("a digest is one that can be verified", () => {
  expect(isDigest(digest)).toBe(true);
  expect(isDigest(`sha512:${"0".repeat(128)}`)).toBe(true);
  expect(isDigest(digest.toUpperCase())).toBe(false);
  expect(isDigest(`${digest}/../x`)).toBe(false);
  expect(isDigest(`${digest}\n`)).toBe(false);
});
