import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { packContainer } from "../storage/container-files.ts";
import { findContainer } from "../storage/containers.ts";
import { recordContainerEvent } from "../storage/events.ts";
import { writeOutput } from "./output-file.ts";

const args = {
  output: { type: "string", alias: "o", description: "Write to a file, instead of STDOUT" },
  container: { type: "positional" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "export", description: "Export a container's filesystem as a tar archive" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const { record } = findContainer(operands[0]!);
    await writeOutput("export", options.output, (write) => {
      for (const chunk of packContainer(record)) write(chunk);
    });
    recordContainerEvent("export", record);
  },
});
