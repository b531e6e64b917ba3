/** `--help`: Docker's layout, made from citty's definitions. */

import type { OptionDef, OptionDefs } from "./args.ts";

/** One command's help. `path` is how it was called (`pod image ls`), `names` are all ways to call it. */
export function commandHelp(path: string, names: string[], description: string, args: OptionDefs): string {
  const options = Object.entries(args)
    .filter(([, def]) => def.type !== "positional")
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  const operands = Object.entries(args).filter(([, def]) => def.type === "positional" && def.description);
  return [
    `Usage:  ${usageLine(path, args)}`,
    description,
    names.length > 1 && `Aliases:\n  ${names.join(", ")}`,
    operands.length &&
      `Arguments:\n${columns(operands.map(([name, def]) => [operandName(name, def), def.description!]))}`,
    options.length && `Options:\n${columns(options.map(([name, def]) => [optionName(name, def), optionText(def)]))}`,
  ]
    .filter(Boolean)
    .join("\n\n");
}

/** Help of `pod` itself or of a group. `sections` are lists of commands with what they do. */
export function groupHelp(path: string, description: string, sections: Record<string, [string, string][]>): string {
  return [
    `Usage:  ${path} ${path === "pod" ? "[OPTIONS] " : ""}COMMAND`,
    description,
    ...Object.entries(sections).map(([title, rows]) => `${title}:\n${columns(rows)}`),
    `Run '${path} COMMAND --help' for more information on a command.`,
  ].join("\n\n");
}

/** `pod rm [OPTIONS] CONTAINER [CONTAINER...]`. */
export function usageLine(path: string, args: OptionDefs): string {
  const words = Object.entries(args).flatMap(([name, def]) => {
    if (def.type !== "positional") return [];
    const word = operandName(name, def);
    if (def.required === false) return [`[${word}${def.multiple ? "..." : ""}]`];
    return def.multiple ? [word, `[${word}...]`] : [word];
  });
  const hasOptions = Object.values(args).some((def) => def.type !== "positional");
  return [path, ...(hasOptions ? ["[OPTIONS]"] : []), ...words].join(" ");
}

function operandName(name: string, def: OptionDef): string {
  return def.valueHint ?? name.toUpperCase();
}

/** `-e, --env list`; without a short form the long one stands in its column. */
function optionName(name: string, def: OptionDef): string {
  const letter = def.type === "positional" ? undefined : [def.alias ?? []].flat().find((alias) => alias.length === 1);
  const value = def.type === "string" ? ` ${def.valueHint ?? (def.multiple ? "list" : "string")}` : "";
  return `${letter ? `-${letter}, ` : "    "}--${name}${value}`;
}

function optionText(def: OptionDef): string {
  const shown = def.default === undefined || def.default === "" || def.default === false ? "" : def.default;
  const text = typeof shown === "string" && shown ? JSON.stringify(shown) : String(shown);
  return `${def.description ?? ""}${text ? ` (default ${text})` : ""}`;
}

/** Two columns, three spaces apart; a text of several lines stays in its column. */
function columns(rows: [string, string][]): string {
  const width = Math.max(...rows.map(([left]) => left.length)) + 3;
  return rows
    .map(([left, right]) => `  ${left.padEnd(width)}${right.replaceAll("\n", `\n${" ".repeat(width + 2)}`)}`)
    .join("\n");
}
