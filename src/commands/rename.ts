import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { renameContainer } from "../rename.ts";

const args = {
  container: { type: "positional" },
  name: { type: "positional", valueHint: "NEW_NAME" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "rename", description: "Rename a container" },
  args,
  run({ rawArgs }) {
    const [container, name] = parseOptions(rawArgs, args).operands as [string, string];
    renameContainer(container, name);
  },
});
