import { defineCommand } from "citty";
import { parseOptions } from "../args.ts";
import { parseDetachKeys } from "../attach.ts";
import type { CreateOptions } from "../create.ts";
import { UsageError } from "../errors.ts";
import * as life from "../life.ts";
import * as output from "../output.ts";
import { runProgress } from "../pull-output.ts";
import { laterFlags, runArgs, toCreateOptions } from "./create-options.ts";

export default defineCommand({
  meta: { name: "run", description: "Create and run a new container from an image" },
  args: runArgs,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, runArgs, { stopAtFirstOperand: true, later: laterFlags });
    const createOptions = toCreateOptions(options, operands, { detach: options.detach });
    if (options.explain) return printExplanation(createOptions, options.format);
    if (options.format !== undefined) throw new UsageError("--format goes with --explain only");
    const attachment = {
      detach: options.detach,
      stdin: options.interactive,
      detachKeys: parseDetachKeys(options.detachKeys),
      sigProxy: options.sigProxy,
    };
    const progress = runProgress({ quiet: options.quiet, isMissing: options.pull === "missing" });
    const { id, exitCode } = await life.run(createOptions, attachment, progress);
    if (options.detach) output.line(id);
    return exitCode;
  },
});

async function printExplanation(options: CreateOptions, format: string | undefined): Promise<void> {
  const { explain } = await import("../explain.ts");
  const explanation = explain(options);
  if (format !== undefined) return output.line(output.formatObject(explanation, format, "explanation"));
  const { formatExplanation } = await import("../format/explain.ts");
  output.write("stdout", formatExplanation(explanation));
}
