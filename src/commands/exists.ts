import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { findImage } from "../storage/images.ts";

const args = { image: { type: "positional" } } satisfies OptionDefs;

export default defineCommand({
  meta: { name: "exists", description: "Check if an image exists: exit code 0 if so, else 1" },
  args,
  run({ rawArgs }) {
    return findImage(parseOptions(rawArgs, args).operands[0]!) ? 0 : 1;
  },
});
