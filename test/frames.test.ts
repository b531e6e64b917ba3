import { expect, test } from "bun:test";
import { encodeControl, encodeFrame, FrameReader } from "../src/frames.ts";

test("frames come out whole however the bytes are cut", () => {
  const bytes = Buffer.concat([
    encodeFrame(1, Buffer.from("out")),
    encodeFrame(2, Buffer.alloc(0)),
    encodeControl({ kind: "exited", exitCode: 3 }),
  ]);
  for (let size = 1; size <= bytes.length; size++) {
    const reader = new FrameReader();
    const frames = [];
    for (let at = 0; at < bytes.length; at += size) frames.push(...reader.push(bytes.subarray(at, at + size)));
    expect(frames.map(({ stream, payload }) => [stream, payload.toString()])).toEqual([
      [1, "out"],
      [2, ""],
      [3, '{"kind":"exited","exitCode":3}'],
    ]);
  }
});

test("the header is Docker's: stream, three zeroes, length as big-endian", () => {
  expect([...encodeFrame(1, Buffer.alloc(258))].slice(0, 8)).toEqual([1, 0, 0, 0, 0, 0, 1, 2]);
});

test("a length that pod never sends is refused before it is waited for", () => {
  expect(() => new FrameReader().push(Buffer.from([1, 0, 0, 0, 255, 0, 0, 0]))).toThrow("a frame of");
});
