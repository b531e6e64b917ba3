import { expect, test } from "bun:test";
import {
  formatAge,
  formatBinarySize,
  formatDuration,
  formatSize,
  formatTime,
  shortId,
} from "../../src/format/units.ts";

for (const [bytes, text] of [
  [0, "0B"],
  [999, "999B"],
  [1000, "1kB"],
  [8_090_000, "8.09MB"],
  [124_512_345, "125MB"],
  [1_234_567_890, "1.23GB"],
] as const) {
  test(`${bytes} bytes are ${text}`, () => expect(formatSize(bytes)).toBe(text));
}
test("progress has four digits", () => expect(formatSize(1_508_345, 4)).toBe("1.508MB"));
test("memory is in powers of 1024", () => expect(formatBinarySize(8_214_560_768)).toBe("7.65GiB"));

const [second, minute, hour, day] = [1000, 60_000, 3_600_000, 86_400_000];
for (const [ms, text] of [
  [0, "Less than a second"],
  [second, "1 second"],
  [59 * second, "59 seconds"],
  [minute, "About a minute"],
  [119 * second, "About a minute"],
  [5 * minute, "5 minutes"],
  [59 * minute, "59 minutes"],
  [hour, "About an hour"],
  [89 * minute, "About an hour"],
  [90 * minute, "2 hours"],
  [47 * hour, "47 hours"],
  [2 * day, "2 days"],
  [13 * day, "13 days"],
  [14 * day, "2 weeks"],
  [60 * day, "2 months"],
  [365 * day, "12 months"],
  [730 * day, "2 years"],
] as const) {
  test(`${ms} ms are ${text}`, () => expect(formatDuration(ms)).toBe(text));
}

test("an age counts from a time, or is empty", () => {
  expect(formatAge("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:05:00Z"))).toBe("5 minutes ago");
  expect(formatAge(undefined)).toBe("");
});
test("times are Go's", () =>
  expect(formatTime("2026-01-01T00:00:00.123456789Z")).toBe("2026-01-01 00:00:00 +0000 UTC"));
test("short ids have 12 digits", () => {
  expect(shortId(`sha256:${"0123456789abcdef".repeat(4)}`)).toBe("0123456789ab");
});

test("what is no time has no age", () => {
  for (const text of ["notadate", "", undefined]) expect([formatAge(text), formatTime(text)]).toEqual(["", ""]);
});
