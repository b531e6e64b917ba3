import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import * as life from "../life.ts";
import * as output from "../output.ts";
import { parseSignalName } from "../signal-names.ts";
import { forEach } from "./each.ts";

const args = {
  signal: {
    type: "string",
    alias: "s",
    default: "SIGKILL",
    parse: parseSignalName,
    description: "Signal to send to the container",
  },
  container: { type: "positional", multiple: true },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "kill", description: "Kill one or more running containers" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    await forEach(operands, false, (name) => {
      life.kill(name, options.signal);
      output.line(name);
    });
  },
});
