import { expect, test } from "bun:test";
import { usesStore } from "../src/prepare.ts";
import { verbs } from "../src/verbs.ts";

test("what comes before the command line is known for every command", () => {
  const names = verbs.flatMap((verb) => verb.names);
  expect(names.filter((name) => !usesStore(name))).toEqual([
    "version",
    "login",
    "logout",
    "search",
    "system autostart",
  ]);
});
