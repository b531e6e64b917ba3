/** `--change` of commit and import: Dockerfile instructions that change an image's configuration (docs.docker.com, Dockerfile reference). */

import { posix } from "node:path";
import { UsageError } from "./errors.ts";
import { parseHealthcheck } from "./health.ts";
import type { ImageConfig } from "./spec.ts";
import { parseKeyValue } from "./values.ts";

type Config = NonNullable<ImageConfig["config"]>;

/** The configuration with the changes made, one after the other. UsageError in Docker's words for one that is not possible. */
export function applyChanges(config: Config, changes: string[]): Config {
  let result = { ...config };
  let hasCommand = false;
  for (const change of changes) {
    const [, name = "", rest = ""] = change.trim().match(/^(\S+)\s*([\s\S]*)$/) ?? [];
    const instruction = instructions[name.toUpperCase()];
    if (!instruction) throw new UsageError(`${name} is not a valid change command`);
    if (!rest) throw new UsageError(`${name.toUpperCase()} requires at least one argument`);
    result = { ...result, ...instruction(rest, result) };
    hasCommand ||= name.toUpperCase() === "CMD";
    // A new entry point does not take the arguments that were meant for the old one.
    if (name.toUpperCase() === "ENTRYPOINT" && !hasCommand) result.Cmd = null;
  }
  return result;
}

const instructions: Record<string, (rest: string, config: Config) => Config> = {
  CMD: (rest, config) => ({ Cmd: toCommand(rest, config) }),
  ENTRYPOINT: (rest, config) => ({ Entrypoint: toCommand(rest, config) }),
  ENV: (rest, config) => ({ Env: withVariables(config.Env ?? [], pairsOf("ENV", rest, config)) }),
  EXPOSE: (rest, config) => ({ ExposedPorts: { ...config.ExposedPorts, ...setOf(wordsOf(rest, config).map(toPort)) } }),
  HEALTHCHECK: (rest) => ({ Healthcheck: parseHealthcheck(rest, parseList) }),
  LABEL: (rest, config) => ({ Labels: { ...config.Labels, ...Object.fromEntries(pairsOf("LABEL", rest, config)) } }),
  ONBUILD: (rest, config) => ({ OnBuild: [...(config.OnBuild ?? []), rest] }),
  STOPSIGNAL: (rest, config) => ({ StopSignal: oneWord("STOPSIGNAL", rest, config) }),
  USER: (rest, config) => ({ User: oneWord("USER", rest, config) }),
  VOLUME: (rest, config) => ({ Volumes: { ...config.Volumes, ...setOf(parseList(rest) ?? wordsOf(rest, config)) } }),
  WORKDIR: (rest, config) => ({
    WorkingDir: posix.resolve("/", config.WorkingDir ?? "", oneWord("WORKDIR", rest, config)),
  }),
};

/** `["a", "b"]` as it stands; anything else is for a shell. */
function toCommand(rest: string, config: Config): string[] {
  return parseList(rest) ?? [...(config.Shell ?? ["/bin/sh", "-c"]), rest];
}

/** A JSON list of strings; undefined where it is none. */
function parseList(text: string): string[] | undefined {
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) && list.every((each) => typeof each === "string") ? list : undefined;
  } catch {
    return undefined;
  }
}

/** `name=value …`, or the old form `name value`, whose value goes to the end. */
function pairsOf(instruction: string, rest: string, config: Config): [string, string][] {
  const [, oldName, oldValue] = rest.match(/^([^\s=]+)\s+([\s\S]*)$/) ?? [];
  if (oldName !== undefined) return [[oldName, scanWords(oldValue!, config, false).join("")]];
  return wordsOf(rest, config).map((word) => {
    if (!/^[^=]+=/.test(word))
      throw new UsageError(`Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`);
    if (instruction === "ENV" && word.startsWith("=")) throw new UsageError(`${instruction} names can not be blank`);
    return parseKeyValue(word);
  });
}

function withVariables(env: string[], pairs: [string, string][]): string[] {
  const entries = [...env, ...pairs.map((pair) => pair.join("="))];
  return [...new Map(entries.map((entry) => [parseKeyValue(entry)[0], entry])).values()];
}

function toPort(word: string): string {
  const [, port, protocol = "tcp"] = word.match(/^(\d+)(?:\/(tcp|udp|sctp))?$/i) ?? [];
  if (!port || Number(port) > 65535) throw new UsageError(`invalid containerPort: ${word}`);
  return `${port}/${protocol.toLowerCase()}`;
}

function setOf(names: string[]): Record<string, object> {
  return Object.fromEntries(names.map((name) => [name, {}]));
}

function oneWord(instruction: string, rest: string, config: Config): string {
  const words = wordsOf(rest, config);
  if (words.length !== 1) throw new UsageError(`${instruction} requires exactly one argument`);
  return words[0]!;
}

function wordsOf(text: string, config: Config): string[] {
  return scanWords(text, config, true);
}

const piece = /\\([\s\S])|'([^']*)'|"((?:\\[\s\S]|[^"\\])*)"|(\$(?:\w+|\{\w+(?::[-+][^}]*)?\}))|(\s+)|([\s\S])/g;

/** Words as a shell parts them: quotes, backslashes, and variables of the configuration's environment outside of single quotes. */
function scanWords(text: string, config: Config, splits: boolean): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (const [whole, escaped, single, double, variable, blanks] of text.trim().matchAll(piece)) {
    if (blanks !== undefined && splits) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    const expanded = variable && expand(variable, config);
    const inner = double?.replace(
      /\\(["\\$])|(\$(?:\w+|\{\w+(?::[-+][^}]*)?\}))/g,
      (_, character, name) => character ?? expand(name, config),
    );
    word = (word ?? "") + (escaped ?? single ?? inner ?? expanded ?? whole);
  }
  return word === undefined ? words : [...words, word];
}

/** `$name`, `${name}`, `${name:-default}`, `${name:+instead}`. */
function expand(text: string, { Env = [] }: Config): string {
  const [, name = "", operator, alternative = ""] = text.match(/^\$\{?(\w+)(?::([-+])([^}]*))?\}?$/)!;
  const value = Env.map(parseKeyValue).findLast(([key]) => key === name)?.[1] ?? "";
  if (operator === "-") return value || alternative;
  return operator === "+" ? (value ? alternative : "") : value;
}
