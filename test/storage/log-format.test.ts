import { expect, test } from "bun:test";
import { decodeRecord, encodeRecord, type LogRecord, recordBytes } from "../../src/storage/log-format.ts";

const records: LogRecord[] = [
  { timeNs: 1_767_355_200_123_456_789n, end: 1, stream: "stdout", isCut: false },
  { timeNs: 1n, end: 2 ** 32 - 1, stream: "stderr", isCut: false },
  { timeNs: 2n ** 63n, end: 2 ** 32, stream: "stdout", isCut: true },
  { timeNs: 7n, end: 2 ** 53 - 1, stream: "stderr", isCut: true },
];
test.each(records)("a record is read as it was written: %p", (record) => {
  expect(decodeRecord(encodeRecord(record, Buffer.alloc(recordBytes)))).toEqual(record);
});

test("the bytes are those that the docs say", () => {
  const bytes = encodeRecord(
    { timeNs: 1n, end: 0x1_0000_0002, stream: "stderr", isCut: true },
    Buffer.alloc(recordBytes),
  );
  expect(bytes.toString("hex")).toBe("0100000000000000" + "02000000" + "010000c0");
});

test("a hole has no record", () => expect(decodeRecord(Buffer.alloc(recordBytes))).toBeUndefined());
