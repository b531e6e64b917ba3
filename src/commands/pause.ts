import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import * as life from "../life.ts";
import * as output from "../output.ts";
import { forEach } from "./each.ts";

const args = {
  container: { type: "positional", multiple: true },
} satisfies OptionDefs;

export default command("pause", "Pause all processes within one or more containers", (container) => {
  if (!life.pause(container)) return;
  const why = "by SIGSTOP, which its processes can notice: they have no control group of their own";
  output.write("stderr", `pod: ${container} is paused ${why}; \`pod info\` says why\n`);
});
export const unpause = command("unpause", "Unpause all processes within one or more containers", life.unpause);

function command(name: string, description: string, action: (container: string) => void) {
  return defineCommand({
    meta: { name, description },
    args,
    async run({ rawArgs }) {
      const { operands } = parseOptions(rawArgs, args);
      await forEach(operands, false, (container) => {
        action(container);
        output.line(container);
      });
    },
  });
}
