import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { UsageError } from "../errors.ts";
import { archiveFormats, saveImages } from "../save.ts";
import { writeOutput } from "./output-file.ts";

const args = {
  format: {
    type: "string",
    default: "docker-archive",
    parse: parseFormat,
    description: `Format of the archive: ${archiveFormats.join(" or ")}`,
  },
  output: { type: "string", alias: "o", description: "Write to a file, instead of STDOUT" },
  image: { type: "positional", multiple: true },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "save", description: "Save one or more images to a tar archive (streamed to STDOUT by default)" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    await writeOutput("save", options.output, (write) => saveImages(operands, options.format, write));
  },
});

function parseFormat(text: string) {
  const format = archiveFormats.find((each) => each === text);
  if (format) return format;
  throw new UsageError(`unknown format ${JSON.stringify(text)}: must be ${archiveFormats.join(" or ")}`);
}
