import { expect, test } from "bun:test";
import { helpFor } from "../src/help.ts";
import { findVerb, verbs } from "../src/verbs.ts";

test("pod's help lists every command that has a name of its own, and the groups", async () => {
  const text = await helpFor([]);
  for (const name of [...verbs.map(({ names }) => names[0]!).filter((name) => !name.includes(" ")), "image"]) {
    expect(text).toMatch(new RegExp(`^  ${name} +\\S`, "m"));
  }
});

test("every command has a description, and a text for every option", async () => {
  for (const { names } of verbs) {
    const text = await helpFor(names[0]!.split(" "));
    expect(text).toStartWith(`Usage:  pod ${names[0]}`);
    expect(text).not.toMatch(/^ +(-\w, )?--[\w-]+( \w+)?$/m);
  }
});

test("a command's help has Docker's layout", async () => {
  expect(await helpFor(["container", "rm"])).toBe(`Usage:  pod container rm [OPTIONS] CONTAINER [CONTAINER...]

Remove one or more containers

Aliases:
  pod rm, pod container rm, pod container remove

Options:
  -f, --force     Force the removal of a running container (uses SIGKILL)
  -v, --volumes   Remove anonymous volumes associated with the container`);
});

test("a group's help lists its commands", async () => {
  expect(await helpFor(["system", "--help"])).toMatch(/^Usage: {2}pod system COMMAND\n[\s\S]*\n {2}reset +Remove all/);
});

test("an unknown command is told, with what it may have been meant to be", async () => {
  await expect(helpFor(["runn"])).rejects.toThrow("unknown command: pod runn\n\nDid you mean this?\n\trun");
  await expect(helpFor(["image", "lss"])).rejects.toThrow(
    "unknown command: pod image lss\n\nDid you mean this?\n\timage ls",
  );
  await expect(helpFor(["xyzzy"])).rejects.toThrow(/^unknown command: pod xyzzy$/);
});

test("a verb is found by all its names, with the words after it", () => {
  expect(findVerb(["container", "run", "-i", "x"])).toMatchObject({ name: "container run", rest: ["-i", "x"] });
  expect(findVerb(["ps", "-a"])?.verb).toBe(findVerb(["container", "ls"])!.verb);
  expect(findVerb(["container", "images"])).toBeUndefined();
  expect(findVerb([])).toBeUndefined();
});
