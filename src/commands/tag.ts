import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { tagImage, untagImage } from "../tagging.ts";

const args = {
  source: { type: "positional", valueHint: "SOURCE_IMAGE[:TAG]" },
  target: { type: "positional", multiple: true, valueHint: "TARGET_IMAGE[:TAG]" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "tag", description: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE" },
  args,
  run({ rawArgs }) {
    const [source, ...targets] = parseOptions(rawArgs, args).operands;
    tagImage(source!, targets);
  },
});

const untagArgs = {
  image: { type: "positional" },
  name: { type: "positional", required: false, multiple: true, valueHint: "NAME[:TAG]" },
} satisfies OptionDefs;

export const untag = defineCommand({
  meta: { name: "untag", description: "Remove one or more names, or all, from an image" },
  args: untagArgs,
  run({ rawArgs }) {
    const [image, ...names] = parseOptions(rawArgs, untagArgs).operands;
    untagImage(image!, names);
  },
});
