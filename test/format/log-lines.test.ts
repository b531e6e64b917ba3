import { expect, test } from "bun:test";
import { LogPrinter } from "../../src/format/log-lines.ts";
import { formatTimestamp } from "../../src/values.ts";

const at = (text: string, stream: "stdout" | "stderr" = "stdout", timeNs = 0n) => ({
  stream,
  timeNs,
  bytes: Buffer.from(text),
});

function print(chunks: ReturnType<typeof at>[], timestamps = false): [string, string][] {
  const writes: [string, string][] = [];
  const printer = new LogPrinter((stream, bytes) => writes.push([stream, Buffer.from(bytes).toString()]), {
    timestamps,
  });
  for (const chunk of chunks) printer.push(chunk);
  printer.flush();
  return writes;
}

test("small chunks of one stream become one write; the order of streams stays", () => {
  expect(print([at("a\n"), at("b\n"), at("c\n", "stderr"), at("d\n")])).toEqual([
    ["stdout", "a\nb\n"],
    ["stderr", "c\n"],
    ["stdout", "d\n"],
  ]);
});

test("a chunk's buffer may be used again after push", () => {
  const chunk = at("first\n");
  const writes: string[] = [];
  const printer = new LogPrinter((_, bytes) => writes.push(Buffer.from(bytes).toString()), { timestamps: false });
  printer.push(chunk);
  chunk.bytes.fill(0);
  printer.flush();
  expect(writes).toEqual(["first\n"]);
});

test("large chunks go through whole", () => {
  const large = "x".repeat(200_000);
  expect(print([at("a"), at(large), at("b")]).map(([, text]) => text)).toEqual(["a", large, "b"]);
});

test("a timestamp stands before each line once, though it came in pieces and another stream between", () => {
  const second = 1_000_000_000n;
  const writes = print(
    [at("one\ntw", "stdout", second), at("err\n", "stderr", 2n * second), at("o\n", "stdout", 3n * second)],
    true,
  );
  expect(writes).toEqual([
    ["stdout", "1970-01-01T00:00:01.000000000Z one\n1970-01-01T00:00:01.000000000Z tw"],
    ["stderr", "1970-01-01T00:00:02.000000000Z err\n"],
    ["stdout", "o\n"],
  ]);
});

test("timestamps have nine digits", () => {
  expect(formatTimestamp(1_767_355_200_123_456_789n)).toBe("2026-01-02T12:00:00.123456789Z");
});
