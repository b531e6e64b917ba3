import { expect, test } from "bun:test";
import { parseBytes, parseInteger, parseKeyValue, parseTail, parseTime } from "../src/values.ts";

for (const [text, bytes] of Object.entries({
  "0": 0,
  "1024": 1024,
  "32b": 32,
  "64m": 64 * 2 ** 20,
  "64MB": 64 * 2 ** 20,
  "1g": 2 ** 30,
  "1.5GiB": 1.5 * 2 ** 30,
  "2 k": 2048,
  "1t": 2 ** 40,
})) {
  test(`${text} is ${bytes} bytes`, () => expect(parseBytes(text)).toBe(bytes));
}
for (const text of ["", "m", "-1", "64x", "1.k", "1 000"]) {
  test(`${JSON.stringify(text)} is no size`, () => expect(() => parseBytes(text)).toThrow(`invalid size: '${text}'`));
}

test("integers are Go's", () => {
  expect(parseInteger("-1")).toBe(-1);
  expect(() => parseInteger("1.5")).toThrow('strconv.ParseInt: parsing "1.5": invalid syntax');
});

test("--tail takes a number or all", () => {
  expect([parseTail("10"), parseTail("0"), parseTail("all"), parseTail("-1")]).toEqual([10, 0, undefined, undefined]);
});

test("a key without = has an empty value, and a value may hold =", () => {
  expect([parseKeyValue("a"), parseKeyValue("a=b=c")]).toEqual([
    ["a", ""],
    ["a", "b=c"],
  ]);
});

const now = Date.parse("2026-01-02T12:00:00Z");
for (const [text, iso] of Object.entries({
  "1767355200": "2026-01-02T12:00:00.000Z",
  "1767355200.5": "2026-01-02T12:00:00.500Z",
  "90m": "2026-01-02T10:30:00.000Z",
  "1h30m": "2026-01-02T10:30:00.000Z",
  "2026-01-02T11:00:00Z": "2026-01-02T11:00:00.000Z",
  "2026-01-02T12:00:00+01:00": "2026-01-02T11:00:00.000Z",
  "2026-01-02T11:00:00.25Z": "2026-01-02T11:00:00.250Z",
})) {
  test(`time ${text}`, () => expect(new Date(Number(parseTime(text, now) / 1_000_000n)).toISOString()).toBe(iso));
}
test("a time keeps its nanoseconds", () => {
  expect(parseTime("1767355200.123456789", now)).toBe(1767355200123456789n);
  expect(parseTime("2026-01-02T12:00:00.000000001Z", now)).toBe(1767355200000000001n);
});
test("a time without a zone is local", () => {
  expect(parseTime("2026-01-02T11:00")).toBe(BigInt(new Date(2026, 0, 2, 11).getTime()) * 1_000_000n);
  expect(parseTime("2026-01-02")).toBe(BigInt(new Date(2026, 0, 2).getTime()) * 1_000_000n);
});
for (const text of ["yesterday", "10", "1x", "2026-13-01"].filter((text) => text !== "10")) {
  test(`${text} is no time`, () => expect(() => parseTime(text)).toThrow(JSON.stringify(text)));
}
