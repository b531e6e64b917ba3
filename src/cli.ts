/** Finds the verb, enters the user's namespace where it is needed, and runs the command. */

import type { ParsedArgs } from "citty";
import { HelpRequest, type OptionDefs, parseOptions } from "./args.ts";
import { type Call, reportFailure } from "./failure.ts";
import { writeAll } from "./ns/sys/descriptor.ts";
import { prepareFor, prepareMonitorFor, usesLayers, usesStore } from "./prepare.ts";
import { findVerb, groups, type Verb } from "./verbs.ts";
import { build } from "./version.ts";

const globalArgs = {
  version: { type: "boolean", alias: "v", description: "Print version information and quit" },
  command: { type: "positional", required: false, multiple: true },
} satisfies OptionDefs;

/** Commands parse `rawArgs` themselves; citty's own parser is not asked. */
const unparsed = { _: [] } as unknown as ParsedArgs;

/** What prepareEarly() left behind: why the namespace could not be entered. */
interface Early {
  failure?: unknown;
}

/** Runs one command line (without the program's name) and returns the exit code. Throws nothing. */
export async function runCli(argv: string[], early: Early = {}): Promise<number> {
  const call: Call = { path: "pod" };
  try {
    const { options, operands } = parseOptions(argv, globalArgs, { stopAtFirstOperand: true });
    return options.version ? print(`pod version ${build.version}`) : await dispatch(operands, call, early);
  } catch (error) {
    return error instanceof HelpRequest ? printHelp(call.path.split(" ").slice(1)) : reportFailure(error, call);
  }
}

async function dispatch(words: string[], call: Call, early: Early): Promise<number> {
  if (words.length === 0 || words[0] === "help") return printHelp(words.slice(1));
  const found = findVerb(words);
  if (words[0]! in groups) call.path = `pod ${words[0]}`;
  if (!found) {
    checkFlags(words.slice(1));
    return printHelp(words);
  }
  const { verb, name, rest } = found;
  call.path = `pod ${name}`;
  if (await asksForHelp(verb, rest)) return printHelp(words);
  if (early.failure) throw early.failure;
  await prepareFor(name);
  await prepareMonitorFor(name);
  if (usesStore(name)) (await import("./storage/store.ts")).openStore();
  if (usesLayers(name)) await mendLayers();
  call.command = (await verb.load()).default;
  const result = await call.command.run!({ rawArgs: rest, args: unparsed, cmd: call.command });
  return typeof result === "number" ? result : 0;
}

/** Of a group, `pod network --nope`: it has none but help. */
function checkFlags(words: string[]): void {
  const [flag] = words;
  if (flag?.startsWith("-") && flag !== "-h" && flag !== "--help") parseOptions([flag], {});
}

/** Once in a boot there is something to look at, and more only after a power cut. */
async function mendLayers(): Promise<void> {
  if ((await import("./storage/store.ts")).isLookedThrough()) return;
  await (await import("./mend.ts")).mendLayers((text) => writeAll(2, Buffer.from(`pod: ${text}\n`)));
}

/** Asked before the namespace is entered: help is to work where that fails. */
async function asksForHelp(verb: Verb, rest: string[]): Promise<boolean> {
  const end = rest.indexOf("--");
  const asked = (end === -1 ? rest : rest.slice(0, end)).some((arg) => arg === "--help" || arg === "-h");
  if (!asked || !verb.options) return asked;
  try {
    parseOptions(rest, await verb.options(), { stopAtFirstOperand: true });
  } catch (error) {
    return error instanceof HelpRequest;
  }
  return false;
}

async function printHelp(words: string[]): Promise<number> {
  const help = await import("./help.ts");
  return print(await help.helpFor(words));
}

function print(text: string): number {
  console.log(text);
  return 0;
}
