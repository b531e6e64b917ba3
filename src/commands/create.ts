import { defineCommand } from "citty";
import { parseOptions } from "../args.ts";
import * as container from "../container.ts";
import * as output from "../output.ts";
import { runProgress } from "../pull-output.ts";
import { createCommandArgs, laterFlags, toCreateOptions } from "./create-options.ts";

export default defineCommand({
  meta: { name: "create", description: "Create a new container" },
  args: createCommandArgs,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, createCommandArgs, {
      stopAtFirstOperand: true,
      later: laterFlags,
    });
    const createOptions = toCreateOptions(options, operands, { detach: false });
    const progress = runProgress({ quiet: options.quiet, isMissing: options.pull === "missing" });
    const { record } = await container.create(createOptions, progress);
    output.line(record.id);
  },
});
