import { defineCommand } from "citty";
import { OperandError, type OptionDefs, parseOptions } from "../args.ts";
import { stopForShutdown } from "../autostart.ts";
import { UsageError } from "../errors.ts";
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

const stopArgs = {
  "at-shutdown": {
    type: "boolean",
    description: "Stop those that start with the machine, so that they do: pod system autostart",
  },
  ...args,
  container: { ...args.container, required: false },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "stop", description: "Stop one or more running containers" },
  args: stopArgs,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, stopArgs);
    if (!options.atShutdown && operands.length === 0) throw new OperandError("requires at least 1 argument");
    if (options.atShutdown && operands.length > 0) throw new UsageError("--at-shutdown takes no containers");
    if (options.atShutdown) for (const name of stopForShutdown()) output.line(name);
    await carryOut(life.stop, operands, options);
  },
});

export const restart = defineCommand({
  meta: { name: "restart", description: "Restart one or more containers" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    await carryOut(life.restart, operands, options);
  },
});

async function carryOut(
  action: typeof life.restart,
  names: string[],
  { time, signal }: { time?: number; signal?: string },
): Promise<void> {
  await forEach(names, false, (name) => {
    action(name, { timeoutSeconds: time, signal });
    output.line(name);
  });
}
