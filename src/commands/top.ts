import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { alignTabs } from "../format/table.ts";
import * as output from "../output.ts";
import { topOfContainer } from "../top.ts";

export const args = {
  container: { type: "positional" },
  ps: { type: "positional", required: false, multiple: true, valueHint: "ps OPTIONS" },
} satisfies OptionDefs;

const minWidth = 20; // docker/cli, container/top.go

export default defineCommand({
  meta: { name: "top", description: "Display the running processes of a container" },
  args,
  run({ rawArgs }) {
    const [name, ...rest] = parseOptions(rawArgs, args, { stopAtFirstOperand: true }).operands as [string, ...string[]];
    const { titles, rows } = topOfContainer(name, rest);
    output.write("stdout", alignTabs([titles, ...rows].map((cells) => `${cells.join("\t")}\n`).join(""), minWidth));
  },
});
