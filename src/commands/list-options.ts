/** Options that lists have in common. */

import type { OptionDefs } from "../args.ts";
import { parseFilter } from "../values.ts";

/** `filters`: their names. */
export function filterOption(filters: string[]) {
  return {
    type: "string",
    alias: "f",
    multiple: true,
    valueHint: "filter",
    parse: parseFilter,
    description: `Filter output: ${filters.join(", ")}`,
  } satisfies OptionDefs[string];
}

export const listFormat = {
  type: "string",
  description: "Format output: 'table', 'table TEMPLATE', 'json' or a Go template",
} satisfies OptionDefs[string];

/** `quiet`: what is shown alone. */
export function listOptions(filters: string[], quiet: string) {
  return {
    filter: filterOption(filters),
    format: listFormat,
    quiet: { type: "boolean", alias: "q", description: `Only display ${quiet}` },
  } satisfies OptionDefs;
}

/** Of what `inspect` prints. */
export const inspectFormat = {
  type: "string",
  alias: "f",
  description: "Format output: 'json' or a Go template",
} satisfies OptionDefs[string];
