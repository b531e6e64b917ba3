import { afterEach, beforeEach, expect, test } from "bun:test";
import { linkSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allocatedBytes } from "../../src/storage/usage.ts";

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "pod-usage-"));
});
afterEach(() => rmSync(base, { recursive: true }));

const blocks = (name: string) => lstatSync(join(base, name)).blocks * 512;

test("a tree takes its blocks: holes and what symlinks lead to take none, a file with two names counts once", () => {
  mkdirSync(join(base, "a"));
  writeFileSync(join(base, "a/file"), "x".repeat(10_000));
  linkSync(join(base, "a/file"), join(base, "linked"));
  writeFileSync(join(base, "sparse"), "");
  truncateSync(join(base, "sparse"), 1 << 30);
  symlinkSync("/usr", join(base, "link"));
  const wanted = ["", "a", "a/file", "sparse", "link"].reduce((sum, name) => sum + blocks(name), 0);
  expect(allocatedBytes(base)).toBe(wanted);
  expect(allocatedBytes(base)).toBeLessThan(100_000);
});

test("what is not there takes nothing", () => {
  expect(allocatedBytes(join(base, "nosuch"))).toBe(0);
});
