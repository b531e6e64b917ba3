import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import * as life from "../life.ts";
import * as output from "../output.ts";
import { parseSignalName } from "../signal-names.ts";
import { parseInteger } from "../values.ts";
import { forEach } from "./each.ts";

const args = {
  signal: { type: "string", alias: "s", parse: parseSignalName, description: "Signal to send to the container" },
  time: {
    type: "string",
    alias: "t",
    parse: parseInteger,
    description: "Seconds to wait before killing the container (-1: for ever)",
  },
  container: { type: "positional", multiple: true },
} satisfies OptionDefs;

export default command("stop", "Stop one or more running containers", life.stop);
export const restart = command("restart", "Restart one or more containers", life.restart);

function command(name: string, description: string, action: typeof life.restart) {
  return defineCommand({
    meta: { name, description },
    args,
    async run({ rawArgs }) {
      const { options, operands } = parseOptions(rawArgs, args);
      await forEach(operands, false, (container) => {
        action(container, { timeoutSeconds: options.time, signal: options.signal });
        output.line(container);
      });
    },
  });
}
