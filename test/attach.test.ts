import { expect, test } from "bun:test";
import { DetachScanner, parseDetachKeys } from "../src/attach.ts";

const typed = (scanner: DetachScanner, text: string) => {
  const { bytes, detached } = scanner.push(Buffer.from(text));
  return [Buffer.from(bytes).toString(), detached];
};

test("detach keys are letters and control characters", () => {
  expect(parseDetachKeys("ctrl-p,ctrl-q")).toEqual([16, 17]);
  expect(parseDetachKeys("ctrl-@,a,ctrl-[,ctrl-_")).toEqual([0, 97, 27, 31]);
  expect(parseDetachKeys("")).toEqual([]);
  expect(() => parseDetachKeys("ctrl-ab")).toThrow("invalid detach keys (ctrl-ab) provided");
});

test("the sequence detaches, also over several reads, and does not reach the program", () => {
  expect(typed(new DetachScanner([16, 17]), "ls\x10\x11rest")).toEqual(["ls", true]);
  const scanner = new DetachScanner([16, 17]);
  expect(typed(scanner, "a\x10")).toEqual(["a", false]);
  expect(typed(scanner, "\x11")).toEqual(["", true]);
});

test("a sequence that breaks off goes through after all", () => {
  const scanner = new DetachScanner([16, 17]);
  expect(typed(scanner, "\x10x")).toEqual(["\x10x", false]);
  expect(typed(scanner, "\x10\x10")).toEqual(["\x10", false]);
  expect(typed(scanner, "\x11")).toEqual(["", true]);
});

test("without keys nothing is held back", () => {
  expect(typed(new DetachScanner([]), "\x10\x11")).toEqual(["\x10\x11", false]);
});
