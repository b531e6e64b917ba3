import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import * as life from "../life.ts";
import * as output from "../output.ts";
import { forEach } from "./each.ts";

const args = {
  container: { type: "positional", multiple: true },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "pause", description: "Pause all processes within one or more containers" },
  args,
  async run({ rawArgs }) {
    const { operands } = parseOptions(rawArgs, args);
    await forEach(operands, false, (name) => {
      life.pause(name);
      output.line(name);
    });
  },
});
