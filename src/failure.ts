/** How a command's failure is told: text on stderr, and Docker's exit codes. */

import type { CommandDef } from "citty";
import { FlagError, OperandError, type OptionDefs } from "./args.ts";
import { formatError, hasCode, hintOf, PodError, SyscallError, UsageError } from "./errors.ts";
import { printable } from "./printable.ts";
import { usageLine } from "./usage.ts";

/** What is known about the call: how it was typed (`pod image ls`), and its definition once that is loaded. */
export interface Call {
  path: string;
  command?: CommandDef;
}

/** Prints the error, or each of an AggregateError's, and returns the exit code. */
export function reportFailure(error: unknown, call: Call): number {
  if (isStdoutGone(error)) return 141; // as if SIGPIPE had ended us
  const errors = error instanceof AggregateError ? error.errors : [error];
  for (const each of errors) {
    console.error(`pod: ${printable(messageOf(each, call))}`);
    const hint = hintOf(each);
    if (hint) console.error(`hint: ${printable(hint)}`);
  }
  const advice = adviceFor(errors.at(-1), call);
  if (advice) console.error(`\n${advice}`);
  return exitCodeOf(errors.at(-1), call);
}

/** Its reader has gone: output.ts, or console.log of the engine's own. */
function isStdoutGone(error: unknown): boolean {
  if (!hasCode(error, "EPIPE")) return false;
  return error instanceof SyscallError ? error.subject === "descriptor 1" : !(error instanceof PodError);
}

function messageOf(error: unknown, { path }: Call): string {
  if (error instanceof OperandError) return `'${path}' ${error.message}`;
  const known = error instanceof PodError || (error instanceof Error && "code" in error);
  return known ? formatError(error) : `internal error: ${error instanceof Error ? error.stack : formatError(error)}`;
}

/** Docker's lines below an error of usage (docker/cli, cli/cobra.go and cli/required.go). */
function adviceFor(error: unknown, { path, command }: Call): string | undefined {
  if (!(error instanceof UsageError)) return undefined;
  const args = command?.args as OptionDefs | undefined;
  const wantsUsage = args && (error instanceof FlagError || error instanceof OperandError);
  const verb = error instanceof OperandError && error.message !== "accepts no arguments" ? "See" : "Run";
  return [wantsUsage && `Usage:  ${usageLine(path, args)}`, `${verb} '${path} --help' for more information`]
    .filter(Boolean)
    .join("\n\n");
}

/** 125 is what `docker run` and bad flags give; the container's command has codes of its own. */
function exitCodeOf(error: unknown, { path }: Call): number {
  const { exitCode } = (error ?? {}) as { exitCode?: unknown };
  if (typeof exitCode === "number") return exitCode; // a CommandError's, or what a container's start failed with
  if (error instanceof OperandError) return 1;
  const isRun = /^pod (container )?(run|create)$/.test(path);
  return isRun || error instanceof FlagError ? 125 : 1;
}
