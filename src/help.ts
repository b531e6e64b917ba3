/** Which help belongs to the words the user typed, and what to say where they name no command. */

import type { CommandDef, CommandMeta } from "citty";
import type { OptionDefs } from "./args.ts";
import { UsageError } from "./errors.ts";
import { nearest } from "./nearest.ts";
import { commandHelp, groupHelp } from "./usage.ts";
import { findVerb, groups, type Verb, verbs } from "./verbs.ts";

/** The text of `pod WORDS --help`: of a command, a group or pod itself. Throws a UsageError where there is no such command. */
export async function helpFor(words: string[]): Promise<string> {
  const found = findVerb(words);
  if (found) return verbHelp(found.verb, found.name);
  const [first, second] = words;
  if (!first) return podHelp();
  if (!(first in groups)) throw unknownCommand([first]);
  if (second && !second.startsWith("-")) throw unknownCommand([first, second]);
  const rows = await Promise.all(verbs.flatMap((verb) => rowOf(verb, groupName(verb, first)?.slice(first.length + 1))));
  return groupHelp(`pod ${first}`, groups[first]!, { Commands: sorted(rows) });
}

async function podHelp(): Promise<string> {
  const single = verbs.filter(({ names }) => !names[0]!.includes(" "));
  const rowsOf = (chosen: Verb[]) => Promise.all(chosen.flatMap((verb) => rowOf(verb, verb.names[0])));
  return groupHelp("pod", "Containers for everybody's laptop: no root access, no daemon", {
    "Common Commands": await rowsOf(single.filter(({ common }) => common)),
    "Management Commands": Object.entries(groups),
    Commands: sorted(await rowsOf(single.filter(({ common }) => !common))),
    "Global Options": [
      ["    --help", "Print usage"],
      ["-v, --version", "Print version information and quit"],
    ],
  });
}

async function verbHelp(verb: Verb, name: string): Promise<string> {
  const { command, meta } = await loadCommand(verb);
  const names = verb.names.map((each) => `pod ${each}`);
  return commandHelp(`pod ${name}`, names, meta.description ?? "", command.args as OptionDefs);
}

async function loadCommand(verb: Verb): Promise<{ command: CommandDef; meta: CommandMeta }> {
  const command = (await verb.load()).default;
  return { command, meta: command.meta as CommandMeta };
}

/** A line of a list, or none where the verb has no name there. */
function rowOf(verb: Verb, name: string | undefined): Promise<[string, string]>[] {
  return name ? [loadCommand(verb).then(({ meta }) => [name, meta.description ?? ""])] : [];
}

/** The verb's first name in that group: `image ls`. */
function groupName({ names }: Verb, group: string): string | undefined {
  return names.find((name) => name.startsWith(`${group} `));
}

function sorted(rows: [string, string][]): [string, string][] {
  return rows.toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** What docker has besides. */
const later = ["build", "builder", "buildx", "compose", "context", "network", "plugin", "stack", "swarm"];

function unknownCommand(words: string[]): UsageError {
  const names = [...verbs.flatMap((verb) => verb.names), ...Object.keys(groups)];
  const near = nearest(words.join(" "), names);
  if (later.includes(words[0]!)) return new UsageError(`pod ${words[0]} is not supported yet`);
  return new UsageError(`unknown command: pod ${words.join(" ")}${near ? `\n\nDid you mean this?\n\t${near}` : ""}`);
}
