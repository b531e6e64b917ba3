/** Options as Docker parses them (spf13/pflag), from definitions that citty understands too. */

import type { BooleanArgDef, PositionalArgDef, StringArgDef } from "citty";
import { UsageError } from "./errors.ts";
import { nearest } from "./nearest.ts";

/**
 * One option or operand, by its long name (`env-file`). A one-letter alias is the short form, a longer one another long form.
 * `multiple` collects every occurrence; `parse` turns the text into a value and throws where it can't.
 */
export type OptionDef =
  | (BooleanArgDef & { type: "boolean" })
  | (StringArgDef & { type: "string"; multiple?: boolean; parse?: (text: string) => unknown })
  | (PositionalArgDef & { type: "positional"; multiple?: boolean });
export type OptionDefs = Record<string, OptionDef>;

type CamelCase<S> = S extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<CamelCase<Tail>>}` : S & string;
type ParsedValue<D> = D extends { parse: (text: string) => infer V } ? V : string;
type OptionValue<D> = D extends { type: "boolean" }
  ? boolean
  : D extends { multiple: true }
    ? ParsedValue<D>[]
    : D extends { default: string }
      ? ParsedValue<D>
      : ParsedValue<D> | undefined;
/** The values by name in camel case: `env-file` is `envFile`. */
export type Options<T> = {
  [K in keyof T as T[K] extends { type: "positional" } ? never : CamelCase<K>]: OptionValue<T[K]>;
};

/** An option is unknown, lacks its value or has a bad one: exit code 125, as with Docker. */
export class FlagError extends UsageError {}
/** The number of operands is wrong; `failure.ts` puts the command's name in front. */
export class OperandError extends UsageError {}
/** `--help` was among the options. */
export class HelpRequest extends Error {}

/**
 * The options and operands of one command line. With `stopAtFirstOperand` everything from the first operand on is an operand
 * (`pod run IMAGE --flag-of-the-command`). `later` are names, and letters, that others have and pod does not yet: they are
 * told apart from typing errors. Throws FlagError with pflag's texts, OperandError, or HelpRequest.
 */
export function parseOptions<const T extends OptionDefs>(
  rawArgs: string[],
  args: T,
  { stopAtFirstOperand = false, later = [] as string[] } = {},
): { options: Options<T>; operands: string[] } {
  const flags = flagsOf(args, later);
  const operands: string[] = [];
  const rest = [...rawArgs];
  let wantsHelp = false;
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "--") {
      operands.push(...rest);
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      operands.push(arg);
      if (!stopAtFirstOperand) continue;
      operands.push(...rest);
      break;
    }
    const helped = arg.startsWith("--") ? takeLong(arg, rest, flags) : takeShort(arg, rest, flags);
    wantsHelp ||= helped;
  }
  if (wantsHelp) throw new HelpRequest();
  checkOperands(operands, args);
  return { options: valuesOf(flags) as Options<T>, operands };
}

interface Flag {
  name: string;
  /** As error texts name it: `-a, --all`. */
  label: string;
  def: Exclude<OptionDef, { type: "positional" }>;
  values: unknown[];
}
interface Flags {
  long: Map<string, Flag>;
  short: Map<string, Flag>;
  later: string[];
}

function flagsOf(args: OptionDefs, later: string[]): Flags {
  const flags: Flags = { long: new Map(), short: new Map(), later };
  for (const [name, def] of Object.entries(args)) {
    if (def.type === "positional") continue;
    const aliases = [def.alias ?? []].flat();
    const letter = aliases.find((alias) => alias.length === 1);
    const flag: Flag = { name, label: `${letter ? `-${letter}, ` : ""}--${name}`, def, values: [] };
    flags.long.set(name, flag);
    for (const alias of aliases) (alias.length === 1 ? flags.short : flags.long).set(alias, flag);
  }
  return flags;
}

/** `--name=value`, `--name value`, `--flag`, `--flag=false`. True for `--help`. */
function takeLong(arg: string, rest: string[], flags: Flags): boolean {
  const [, name, value] = arg.match(/^--([^=]*)(?:=([\s\S]*))?$/)!;
  if (!name || name.startsWith("-")) throw new FlagError(`bad flag syntax: ${arg}`);
  const flag = flags.long.get(name);
  if (!flag) {
    if (name === "help") return true;
    if (flags.later.includes(name)) throw new FlagError(`--${name} is not supported yet`);
    const near = nearest(name, flags.long.keys());
    throw new FlagError(`unknown flag: --${name}`, { hint: near && `did you mean --${near}?` });
  }
  if (value !== undefined) set(flag, value);
  else if (flag.def.type === "boolean") set(flag, "true");
  else if (rest.length) set(flag, rest.shift()!);
  else throw new FlagError(`flag needs an argument: --${name}`);
  return false;
}

/** `-it`, `-eNAME=1`, `-e NAME=1`, `-e=NAME`. True for `-h`, where no option has that letter. */
function takeShort(arg: string, rest: string[], flags: Flags): boolean {
  let helped = false;
  for (let letters = arg.slice(1); letters; ) {
    const letter = letters[0]!;
    const flag = flags.short.get(letter);
    if (!flag && letter !== "h") throw unknownShort(arg, letters, flags);
    if (!flag) {
      helped = true;
      letters = letters.slice(1);
    } else if (letters.length > 2 && letters[1] === "=") {
      set(flag, letters.slice(2));
      break;
    } else if (flag.def.type === "boolean") {
      set(flag, "true");
      letters = letters.slice(1);
    } else if (letters.length > 1) {
      set(flag, letters.slice(1));
      break;
    } else if (rest.length) {
      set(flag, rest.shift()!);
      break;
    } else {
      throw new FlagError(`flag needs an argument: '${letter}' in -${letters}`);
    }
  }
  return helped;
}

function unknownShort(arg: string, letters: string, flags: Flags): FlagError {
  const long = arg.slice(1).split("=", 1)[0]!;
  const letter = [letters[0]!.toLowerCase(), letters[0]!.toUpperCase()].find((other) => flags.short.has(other));
  const near = flags.long.has(long) ? `--${long}` : letter && `-${letter}`;
  if (flags.later.includes(letters[0]!)) return new FlagError(`-${letters[0]} is not supported yet`);
  const text = `unknown shorthand flag: '${letters[0]}' in -${letters}`;
  return new FlagError(text, { hint: near && `did you mean ${near}?` });
}

function set({ def, label, values }: Flag, text: string): void {
  try {
    values.push(def.type === "boolean" ? parseBoolean(text) : def.parse ? def.parse(text) : text);
  } catch (error) {
    throw new FlagError(`invalid argument ${JSON.stringify(text)} for ${JSON.stringify(label)} flag`, { cause: error });
  }
}

/** Go's strconv.ParseBool. */
function parseBoolean(text: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw new FlagError(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

function valuesOf(flags: Flags): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const flag of new Set(flags.long.values())) {
    const { def, name } = flag;
    const multiple = def.type === "string" && def.multiple;
    if (!flag.values.length && def.default !== undefined) set(flag, String(def.default));
    const key = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
    values[key] = multiple ? flag.values : (flag.values.at(-1) ?? (def.type === "boolean" ? false : undefined));
  }
  return values;
}

/** Docker's texts for the wrong number of operands (docker/cli, cli/required.go). */
function checkOperands(operands: string[], args: OptionDefs): void {
  const defs = Object.values(args).filter((def) => def.type === "positional");
  const min = defs.filter((def) => def.required !== false).length;
  const max = defs.some((def) => def.multiple) ? Infinity : defs.length;
  if (operands.length >= min && operands.length <= max) return;
  const plural = (count: number) => `${count} argument${count === 1 ? "" : "s"}`;
  if (max === 0) throw new OperandError("accepts no arguments");
  if (min === max) throw new OperandError(`requires ${plural(min)}`);
  if (max === Infinity) throw new OperandError(`requires at least ${plural(min)}`);
  if (min === 0) throw new OperandError(`requires at most ${plural(max)}`);
  throw new OperandError(`requires at least ${min} and at most ${plural(max)}`);
}
