import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import * as output from "../output.ts";
import { removeImage } from "../removal.ts";
import { listContainers } from "../storage/containers.ts";
import { forEach } from "./each.ts";

const args = {
  force: { type: "boolean", alias: "f", description: "Force removal of the image" },
  image: { type: "positional", multiple: true },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "rmi", description: "Remove one or more images" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    await forEach(operands, options.force, (name) => {
      const removed = removeImage(name, { force: options.force, containers: listContainers() });
      for (const reference of removed.untagged) output.line(`Untagged: ${reference}`);
      for (const digest of removed.deleted) output.line(`Deleted: ${digest}`);
    });
  },
});
