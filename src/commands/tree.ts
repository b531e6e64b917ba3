import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { formatSize, shortId } from "../format/units.ts";
import { resolve } from "../image.ts";
import * as output from "../output.ts";
import { layerSizes, listImages } from "../storage/images.ts";
import { chainIds } from "../storage/layers.ts";

const args = { image: { type: "positional" } } satisfies OptionDefs;

export default defineCommand({
  meta: { name: "tree", description: "Print the layers of an image, and which images end with each" },
  args,
  async run({ rawArgs }) {
    const image = await resolve(parseOptions(rawArgs, args).operands[0]!);
    const chain = chainIds(image.config.rootfs.diff_ids);
    const sizes = layerSizes(image);
    const tops = Map.groupBy(listImages(), (other) => chainIds(other.config.rootfs.diff_ids).at(-1));
    output.line(`Image ID: ${shortId(image.id)}`);
    output.line(`Tags:     [${image.references.join(" ")}]`);
    output.line(`Size:     ${formatSize(image.sizeBytes)}`);
    output.line("Image Layers");
    for (const [index, chainId] of chain.entries()) {
      const names = tops.get(chainId)?.flatMap(({ references }) => references);
      const branch = index === chain.length - 1 ? "└──" : "├──";
      const top = names ? ` Top Layer of: [${names.join(" ")}]` : "";
      output.line(`${branch} ID: ${shortId(chainId)} Size: ${formatSize(sizes[index]!)}${top}`);
    }
  },
});
