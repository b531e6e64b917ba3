/** What pod writes is read by GNU tar and by its own reader, with all that an entry says. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TarEntry, tarReader } from "../../src/storage/tar.ts";
import { emptyFile, tarEnd, tarHeader, tarPadding } from "../../src/storage/tarwriter.ts";

const at = (seconds: number, nanoseconds = 0) => ({ seconds, nanoseconds });

function archive(...members: (Partial<TarEntry> & { name: string; content?: string })[]): Buffer {
  const blocks = members.flatMap(({ content = "", ...entry }) => {
    const bytes = Buffer.from(content);
    return [tarHeader({ ...emptyFile, ...entry, size: bytes.length }), bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...blocks, tarEnd]);
}

function readBack(bytes: Buffer): TarEntry[] {
  const entries: TarEntry[] = [];
  const reader = tarReader({ entry: (entry) => entries.push(entry), data: () => {}, end: () => {} });
  reader.push(bytes);
  reader.finish();
  return entries;
}

function gnuTar(bytes: Buffer, ...options: string[]): string {
  const dir = mkdtempSync(join(tmpdir(), "tar-"));
  try {
    writeFileSync(join(dir, "a.tar"), bytes);
    const { stdout, stderr } = Bun.spawnSync(["tar", "-f", join(dir, "a.tar"), ...options], { env: { TZ: "UTC" } });
    return stdout.toString() + stderr.toString();
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const long = `${"d".repeat(90)}/${"n".repeat(200)}`;
const cases: [string, Partial<TarEntry> & { name: string }][] = [
  ["a plain file", { name: "a", mode: 0o4755, uid: 1000, gid: 5 }],
  ["a name of more than 100 bytes", { name: long }],
  ["a link to a name of more than 100 bytes", { name: "l", kind: "symlink", linkName: long }],
  ["a name that is not UTF-8", { name: "caf\xe9" }],
  ["nanoseconds", { name: "t", modified: at(1_700_000_000, 123_456_789) }],
  ["a time before 1970", { name: "t", modified: at(-2, 500_000_000) }],
  ["a time after 2242", { name: "t", modified: at(8_589_934_592) }],
  ["an owner above two million", { name: "o", uid: 3_000_000, gid: 4_294_967_294 }],
  ["a device", { name: "dev", kind: "character", major: 1, minor: 300 }],
  ["attributes of any bytes", { name: "x", xattrs: [["user.a", Buffer.from([0, 10, 61, 255])]] }],
];
for (const [what, entry] of cases) {
  test(`${what} comes back as it was`, () => {
    const whole = { ...emptyFile, ...entry };
    expect(readBack(archive(entry))).toEqual([{ ...whole, accessed: whole.modified }]);
    expect(gnuTar(archive(entry), "-t")).not.toMatch(/tar:/);
  });
}

test("a folder's name ends with a slash", () => {
  expect(readBack(archive({ name: "d", kind: "directory", mode: 0o755 }))).toMatchObject([
    { kind: "directory", name: "d/" },
  ]);
});

test("a file of more than 8 GiB has its size in a pax record", () => {
  const header = tarHeader({ ...emptyFile, name: "big", size: 8 ** 11 });
  expect(header.toString("latin1")).toContain("size=8589934592\n");
});

test("GNU tar lists names, owners, times and contents", () => {
  const bytes = archive(
    { name: "d", kind: "directory", mode: 0o1777, modified: at(1_700_000_000) },
    { name: "d/f", content: "hello", uid: 33, gid: 44, modified: at(1_700_000_000, 500_000_000) },
    { name: "d/h", kind: "link", linkName: "d/f", modified: at(1_700_000_000) },
  );
  expect(
    gnuTar(bytes, "-tv", "--full-time", "--numeric-owner")
      .split("\n")
      .map((line) => line.replace(/ +/g, " ")),
  ).toEqual([
    "drwxrwxrwt 0/0 0 2023-11-14 22:13:20 d/",
    "-rw-r--r-- 33/44 5 2023-11-14 22:13:20.5 d/f",
    "hrw-r--r-- 0/0 0 2023-11-14 22:13:20 d/h link to d/f",
    "",
  ]);
  expect(gnuTar(bytes, "-xO", "d/f")).toBe("hello");
});
