import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { historyRows, historyStyle } from "../format/history.ts";
import { resolve } from "../image.ts";
import * as output from "../output.ts";
import { layerSizes } from "../storage/images.ts";

const args = {
  format: { type: "string", description: "Format output: 'table', 'table TEMPLATE', 'json' or a Go template" },
  human: { type: "boolean", alias: "H", default: true, description: "Print sizes and dates in human readable format" },
  "no-trunc": { type: "boolean", description: "Don't truncate output" },
  quiet: { type: "boolean", alias: "q", description: "Only show image IDs" },
  image: { type: "positional" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "history", description: "Show the history of an image" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const image = await resolve(operands[0]!);
    const { noTrunc: full, human } = options;
    const rows = historyRows(image, layerSizes(image), { full, human });
    if (options.quiet && !options.format) for (const row of rows) output.line(row.ID);
    else output.list(rows, historyStyle(human), options.format);
  },
});
