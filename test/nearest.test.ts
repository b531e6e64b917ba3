import { expect, test } from "bun:test";
import { nearest } from "../src/nearest.ts";

const verbs = ["run", "ps", "pull", "images", "inspect", "logs", "rm", "rmi", "version", "container ls"];

for (const [typed, meant] of [
  ["runn", "run"],
  ["imgaes", "images"],
  ["inpsect", "inspect"],
  ["pul", "pull"],
  ["vers", "version"],
  ["contaner ls", "container ls"],
  ["xyzzy", undefined],
  ["stop", undefined],
  ["q", undefined],
] as const) {
  test(`${typed} is near ${meant}`, () => expect(nearest(typed, verbs)).toBe(meant));
}
