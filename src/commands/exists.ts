import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { NotFoundError } from "../errors.ts";
import { findContainer } from "../storage/containers.ts";
import { findImage } from "../storage/images.ts";

const imageArgs = { image: { type: "positional" } } satisfies OptionDefs;

export default defineCommand({
  meta: { name: "exists", description: "Check if an image exists: exit code 0 if so, else 1" },
  args: imageArgs,
  run({ rawArgs }) {
    return findImage(parseOptions(rawArgs, imageArgs).operands[0]!) ? 0 : 1;
  },
});

const containerArgs = { container: { type: "positional" } } satisfies OptionDefs;

export const containerExists = defineCommand({
  meta: { name: "exists", description: "Check if a container exists: exit code 0 if so, else 1" },
  args: containerArgs,
  run({ rawArgs }) {
    try {
      findContainer(parseOptions(rawArgs, containerArgs).operands[0]!);
      return 0;
    } catch (error) {
      if (error instanceof NotFoundError) return 1;
      throw error;
    }
  },
});
