import { defineCommand } from "citty";
import { type OptionDefs, type Options, parseOptions } from "../args.ts";
import { statsListStyle, statsRow } from "../format/stats.ts";
import * as output from "../output.ts";
import { StatsReader } from "../stats.ts";
import { findContainer, listContainers, passOver } from "../storage/containers.ts";

const args = {
  all: { type: "boolean", alias: "a", description: "Show all containers (default shows just running)" },
  format: { type: "string", description: "Format output: 'table', 'table TEMPLATE', 'json' or a Go template" },
  "no-stream": { type: "boolean", description: "Disable streaming stats and only pull the first result" },
  "no-trunc": { type: "boolean", description: "Do not truncate output" },
  container: { type: "positional", required: false, multiple: true },
} satisfies OptionDefs;

const intervalMs = 1000;

export default defineCommand({
  meta: {
    name: "stats",
    description: "Display a live stream of container(s) resource usage statistics, summed over their processes",
  },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const reader = new StatsReader();
    reader.read(chosen(operands, options));
    for (;;) {
      await Bun.sleep(intervalMs);
      const stats = reader.read(chosen(operands, options));
      const rows = stats.map((each, index) => statsRow(each, { full: options.noTrunc, asked: operands[index] }));
      const text = output.formatList(rows, statsListStyle, options.format);
      if (options.noStream) return output.write("stdout", text);
      output.redraw(text);
    }
  },
});

/** Asked each time: containers come and go. */
function chosen(names: string[], { all }: Options<typeof args>) {
  if (names.length) return names.map(findContainer);
  return listContainers(all ? undefined : ({ status }) => status === "running", passOver);
}
