import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { config } from "../config.ts";
import * as image from "../image.ts";
import { pullAllProgress, pullProgress } from "../pull-output.ts";

const args = {
  "all-tags": { type: "boolean", alias: "a", description: "Download all tagged images in the repository" },
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
    const name = operands[0]!;
    if (!options.allTags) {
      await image.pull(name, { platform, progress: pullProgress(options.quiet) });
      return;
    }
    const { progress, end } = pullAllProgress(name, options.quiet);
    await image.pullAll(name, { platform, progress });
    end();
  },
});
