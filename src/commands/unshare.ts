import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { config } from "../config.ts";
import { execInNamespace } from "../unshare.ts";

export const args = {
  command: { type: "positional", required: false },
  arg: { type: "positional", required: false, multiple: true },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "unshare", description: "Run a command, or your shell, in your user namespace" },
  args,
  run({ rawArgs }) {
    const { operands } = parseOptions(rawArgs, args, { stopAtFirstOperand: true });
    execInNamespace(operands.length ? operands : [config.variable("SHELL") || "/bin/sh"]);
  },
});
