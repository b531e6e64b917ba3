import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { UsageError } from "../errors.ts";
import { loadImages } from "../load.ts";
import * as output from "../output.ts";
import { familiarName, parseReference } from "../reference.ts";

const args = {
  input: {
    type: "string",
    alias: "i",
    description: "Read from a tar archive, or an image layout's folder, instead of STDIN",
  },
  platform: { type: "string", description: "Load only the given platform, like linux/arm64" },
  quiet: { type: "boolean", alias: "q", description: "Suppress notes on names that change hands" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "load", description: "Load images from a tar archive or STDIN" },
  args,
  async run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, args);
    const { input, platform } = options;
    if (input === undefined && output.isTerminalFd(0)) {
      throw new UsageError("requested load from stdin, but stdin is empty", {
        hint: "use -i FILE, or pipe an archive in",
      });
    }
    for (const { id, names, taken } of await loadImages(input, { platform })) {
      const show = (name: string) => familiarName(parseReference(name));
      for (const { name, id: old } of options.quiet ? [] : taken) {
        output.line(`The image ${show(name)} already exists, renaming the old one with ID ${old} to empty string`);
      }
      for (const name of names) output.line(`Loaded image: ${show(name)}`);
      if (!names.length) output.line(`Loaded image ID: ${id}`);
    }
  },
});
