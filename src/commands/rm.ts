import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import * as container from "../container.ts";
import * as output from "../output.ts";
import { forEach } from "./each.ts";

const args = {
  force: { type: "boolean", alias: "f", description: "Force the removal of a running container (uses SIGKILL)" },
  volumes: { type: "boolean", alias: "v", description: "Remove anonymous volumes associated with the container" },
  container: { type: "positional", multiple: true },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "rm", description: "Remove one or more containers" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    try {
      await forEach(operands, options.force, async (name) => {
        await container.remove(name, { force: options.force, volumes: options.volumes });
        output.line(name);
      });
    } finally {
      container.repairContainers(); // also where nothing was found: killed commands leave more than records
    }
  },
});
