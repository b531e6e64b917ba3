import { writeFileSync } from "node:fs";
import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { UsageError } from "../errors.ts";
import * as image from "../image.ts";
import * as output from "../output.ts";
import { pushProgress } from "../push-output.ts";
import { formatReference } from "../reference.ts";

const args = {
  "all-tags": { type: "boolean", alias: "a", description: "Push all tags of an image to the repository" },
  digestfile: { type: "string", valueHint: "file", description: "Write the digest of the pushed image to the file" },
  quiet: { type: "boolean", alias: "q", description: "Suppress verbose output" },
  image: { type: "positional", valueHint: "NAME[:TAG]" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "push", description: "Upload an image to a registry" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const { allTags, digestfile, quiet } = options;
    if (allTags && digestfile) throw new UsageError("--digestfile and --all-tags cannot be used together");
    const [pushed] = await image.push(operands[0]!, { allTags, progress: pushProgress(quiet) });
    const { domain, path, tag } = pushed!.reference;
    if (quiet) output.line(formatReference(allTags ? { domain, path } : { domain, path, tag }));
    if (digestfile) writeFileSync(digestfile, pushed!.digest);
  },
});
