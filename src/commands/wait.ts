import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import * as life from "../life.ts";
import * as output from "../output.ts";
import { forEach } from "./each.ts";

const args = {
  container: { type: "positional", multiple: true },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "wait", description: "Block until one or more containers stop, then print their exit codes" },
  args,
  async run({ rawArgs }) {
    const { operands } = parseOptions(rawArgs, args);
    await forEach(operands, false, (name) => output.line(String(life.wait(name))));
  },
});
