import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { firstDifference } from "../../src/storage/compare.ts";

let base: string;
let found: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "pod-compare-"));
  found = join(base, "found");
  for (const name of ["wanted", "found"]) {
    mkdirSync(join(base, name, "etc/empty"), { recursive: true });
    writeFileSync(join(base, name, "etc/motd"), "hello");
    utimesSync(join(base, name, "etc/motd"), 1, 1);
    symlinkSync("motd", join(base, name, "etc/link"));
  }
});
afterEach(() => rmSync(base, { recursive: true }));

const compare = () => firstDifference(join(base, "wanted"), found);

test("trees that are alike have no difference, also where folders are younger", () => {
  utimesSync(join(found, "etc"), 1, 1);
  expect(compare()).toBeUndefined();
});

const changes: [string, () => void, string][] = [
  ["missing", () => rmSync(join(found, "etc/motd")), "etc/motd is missing"],
  ["too many", () => writeFileSync(join(found, "etc/extra"), ""), "etc/extra does not belong there"],
  ["of another mode", () => chmodSync(join(found, "etc/motd"), 0o4644), "etc/motd has the mode 104644, not 100644"],
  ["of another size", () => writeFileSync(join(found, "etc/motd"), "hell"), "etc/motd has the size 4, not 5"],
  ["of other content", () => rewrite("hallo"), "etc/motd has other content"],
  ["of another time", () => utimesSync(join(found, "etc/motd"), 1, 2), "etc/motd has the time 2.0, not 1.0"],
  ["a link elsewhere", () => relink("/etc"), "etc/link leads elsewhere"],
];
for (const [name, change, words] of changes) {
  test(`a file that is ${name} is told`, () => {
    change();
    expect(compare()).toContain(words);
  });
}

function rewrite(text: string): void {
  writeFileSync(join(found, "etc/motd"), text);
  utimesSync(join(found, "etc/motd"), 1, 1);
}

function relink(target: string): void {
  rmSync(join(found, "etc/link"));
  symlinkSync(target, join(found, "etc/link"));
}
