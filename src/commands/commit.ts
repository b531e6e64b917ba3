import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { commitContainer } from "../commit.ts";
import * as output from "../output.ts";
import { formatReference } from "../reference.ts";
import { parseTarget } from "../tagging.ts";

const args = {
  author: {
    type: "string",
    alias: "a",
    default: "",
    description: 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")',
  },
  change: {
    type: "string",
    alias: "c",
    multiple: true,
    description: "Apply Dockerfile instruction to the created image",
  },
  message: { type: "string", alias: "m", default: "", description: "Commit message" },
  pause: { type: "boolean", alias: "p", default: true, description: "Pause container during commit" },
  container: { type: "positional" },
  repository: { type: "positional", required: false, valueHint: "REPOSITORY[:TAG]" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "commit", description: "Create a new image from a container's changes" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const { author, change: changes, message, pause } = options;
    const [container, target] = operands;
    const name = target === undefined ? undefined : formatReference(parseTarget(target));
    output.line((await commitContainer(container!, { author, changes, message, pause, name })).id);
  },
});
