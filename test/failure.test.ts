import { afterEach, beforeEach, expect, type Mock, spyOn, test } from "bun:test";
import type { CommandDef } from "citty";
import { FlagError, OperandError, type OptionDefs } from "../src/args.ts";
import { CommandError, NotFoundError, PodError, UsageError } from "../src/errors.ts";
import { reportFailure } from "../src/failure.ts";

let stderr: Mock<typeof console.error>;
beforeEach(() => {
  stderr = spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => stderr.mockRestore());

const args = {
  all: { type: "boolean" },
  container: { type: "positional", multiple: true },
} satisfies OptionDefs;
const rm = { path: "pod rm", command: { args } as CommandDef };
const run = { path: "pod run", command: { args } as CommandDef };

function told(error: unknown, call: { path: string; command?: CommandDef }) {
  const exitCode = reportFailure(error, call);
  return { exitCode, text: stderr.mock.calls.map(([text]) => text).join("\n") };
}

test("an error is told with its causes and its hint, and gives 1", () => {
  const error = new PodError("start web", { cause: new PodError("no network", { hint: "plug it in" }) });
  expect(told(error, rm)).toEqual({ exitCode: 1, text: "pod: start web: no network\nhint: plug it in" });
});

test("an error of run gives 125", () => {
  for (const path of ["pod run", "pod container run"]) {
    expect(told(new NotFoundError("No such image: x:latest"), { path }).exitCode).toBe(125);
  }
});

test("a bad flag shows the usage and gives 125", () => {
  expect(told(new FlagError("unknown flag: --foo"), rm)).toEqual({
    exitCode: 125,
    text: `pod: unknown flag: --foo

Usage:  pod rm [OPTIONS] CONTAINER [CONTAINER...]

Run 'pod rm --help' for more information`,
  });
});

test("a missing operand names the command and gives 1, also of run", () => {
  const { exitCode, text } = told(new OperandError("requires at least 1 argument"), run);
  expect(exitCode).toBe(1);
  expect(text).toStartWith("pod: 'pod run' requires at least 1 argument\n\nUsage:  pod run");
  expect(text).toEndWith("See 'pod run --help' for more information");
});

test("a wrong value of run points to its help, as Docker does", () => {
  expect(told(new UsageError("invalid hostname format: -x"), run)).toEqual({
    exitCode: 125,
    text: "pod: invalid hostname format: -x\n\nRun 'pod run --help' for more information",
  });
});

test("a command that can't be started has its own code", () => {
  expect(told(new CommandError('exec: "x": executable file not found in $PATH', 127), run).exitCode).toBe(127);
});

test("several failures are told one by one", () => {
  const error = new AggregateError([
    new NotFoundError("No such container: a"),
    new NotFoundError("No such container: b"),
  ]);
  expect(told(error, rm)).toEqual({ exitCode: 1, text: "pod: No such container: a\npod: No such container: b" });
});

test("a reader of stdout that has gone is no error to tell", () => {
  const error = Object.assign(new Error("broken pipe"), { code: "EPIPE", syscall: "write" });
  expect(told(error, rm)).toEqual({ exitCode: 141, text: "" });
});

test("a bug is told as one", () => {
  expect(told(new TypeError("x is not a function"), rm).text).toContain(
    "internal error: TypeError: x is not a function",
  );
});
