import { expect, test } from "bun:test";
import { receive, send } from "../../src/ns/stage.ts";
import { socketPair } from "../../src/ns/sys/descriptor.ts";
import { close } from "../../src/ns/sys/file.ts";

test("what a stage said last is heard, also where it ends with words to it unread", () => {
  const [ours, theirs] = socketPair("packets");
  send(ours, { word: "unread" });
  send(theirs, { report: 1 });
  send(theirs, { report: 2 });
  close(theirs);
  expect(receive<object>(ours)?.message).toEqual({ report: 1 });
  expect(receive<object>(ours)?.message).toEqual({ report: 2 });
  expect(receive(ours)).toBeUndefined();
  close(ours);
});
