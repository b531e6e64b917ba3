import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { giveBack } from "../chown.ts";
import { PodError } from "../errors.ts";
import * as output from "../output.ts";
import { forEach } from "./each.ts";

const args = {
  verbose: { type: "boolean", alias: "v", description: "Say how many files were changed" },
  path: { type: "positional", multiple: true },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "chown", description: "Give files that containers have made, with all below them, back to you" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    await forEach(operands, false, (path) => {
      const { changed, foreign } = giveBack(path);
      if (options.verbose) output.line(`${path}: ${changed} changed`);
      if (foreign > 0) throw new PodError(`chown ${path}: ${foreign} files belong to others, and stay theirs`);
    });
  },
});
