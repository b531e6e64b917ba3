import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { config } from "../config.ts";
import { importImage } from "../import.ts";
import * as output from "../output.ts";
import { formatReference } from "../reference.ts";
import { parseTarget } from "../tagging.ts";

const args = {
  change: {
    type: "string",
    alias: "c",
    multiple: true,
    description: "Apply Dockerfile instruction to the created image",
  },
  message: { type: "string", alias: "m", description: "Set commit message for imported image" },
  platform: { type: "string", description: "Set platform of the image, like linux/arm64" },
  source: { type: "positional", valueHint: "file|URL|-" },
  repository: { type: "positional", required: false, valueHint: "REPOSITORY[:TAG]" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "import", description: "Import the contents from a tarball to create a filesystem image" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const { change: changes, message, platform = config.defaultPlatform } = options;
    const [source, target] = operands;
    const name = target === undefined ? undefined : formatReference(parseTarget(target));
    output.line((await importImage(source!, { changes, message, platform, name })).id);
  },
});
