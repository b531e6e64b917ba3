import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { config } from "../config.ts";
import * as image from "../image.ts";
import { pullProgress } from "../pull-output.ts";

const args = {
  platform: { type: "string", description: "Set platform if the image has several, like linux/arm64" },
  quiet: { type: "boolean", alias: "q", description: "Suppress verbose output" },
  image: { type: "positional", valueHint: "NAME[:TAG|@DIGEST]" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "pull", description: "Download an image from a registry" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const platform = options.platform ?? config.defaultPlatform;
    await image.pull(operands[0]!, { platform, progress: pullProgress(options.quiet) });
  },
});
