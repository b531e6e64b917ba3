import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { formatError, hintOf } from "../errors.ts";
import { syncLayersLater } from "../later.ts";
import * as output from "../output.ts";
import { checkStore, type Problem } from "../storage/check.ts";
import { collectGarbage } from "../storage/images.ts";

const args = {
  repair: {
    type: "boolean",
    description: "Make layers again from their blobs, drop images that can't be rebuilt, sweep what nothing uses",
  },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "check", description: "Check the consistency of images, layers, containers and volumes" },
  args,
  async run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, args);
    let remaining = 0;
    const { images, layers, containers, volumes } = await checkStore(async (problem) => {
      output.line(`${problem.object}: ${problem.fault}`);
      if (options.repair && (await isMended(problem))) return;
      remaining++;
      output.line(`  remedy: ${problem.remedy}`);
    });
    if (options.repair) collectGarbage();
    syncLayersLater();
    const counts = `${images} images, ${layers} layers, ${containers} containers, ${volumes} volumes`;
    output.line(`Checked ${counts}: ${remaining === 0 ? "all is well" : `${remaining} problems`}`);
    return remaining === 0 ? 0 : 1;
  },
});

async function isMended({ mend }: Problem): Promise<boolean> {
  if (!mend) return false;
  try {
    output.line(`  repaired: ${await mend()}`);
    return true;
  } catch (error) {
    output.line(`  not repaired: ${[formatError(error), hintOf(error)].filter(Boolean).join("; ")}`);
    return false;
  }
}
