import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { shortId } from "../format/units.ts";
import { mountedImages, mountImage, unmountImage } from "../image-mount.ts";
import * as output from "../output.ts";
import { forEach } from "./each.ts";

const args = { image: { type: "positional", required: false, multiple: true } } satisfies OptionDefs;

export default defineCommand({
  meta: { name: "mount", description: "Mount images read-only inside pod unshare, or list those mounted" },
  args,
  async run({ rawArgs }) {
    const { operands } = parseOptions(rawArgs, args);
    if (!operands.length) for (const { id, path } of mountedImages()) output.line(`${shortId(id)} ${path}`);
    await forEach(operands, false, async (name) => output.line(await mountImage(name)));
  },
});

const unmountArgs = {
  all: { type: "boolean", alias: "a", description: "Unmount all images" },
  image: { type: "positional", required: false, multiple: true },
} satisfies OptionDefs;

export const unmount = defineCommand({
  meta: { name: "unmount", description: "Unmount images that image mount has mounted" },
  args: unmountArgs,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, unmountArgs);
    const names = options.all ? mountedImages().map(({ id }) => id) : operands;
    await forEach(names, false, async (name) => output.line(await unmountImage(name)));
  },
});
