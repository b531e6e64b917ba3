import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { parseDetachKeys } from "../attach.ts";
import * as life from "../life.ts";

const args = {
  "detach-keys": {
    type: "string",
    default: "ctrl-p,ctrl-q",
    description: "Override the key sequence for detaching a container",
  },
  "no-stdin": { type: "boolean", description: "Do not attach STDIN" },
  "sig-proxy": { type: "boolean", default: true, description: "Proxy all received signals to the process" },
  container: { type: "positional" },
} satisfies OptionDefs;

export default defineCommand({
  meta: {
    name: "attach",
    description: "Attach local standard input, output, and error streams to a running container",
  },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    return life.attachTo(operands[0]!, {
      detach: false,
      stdin: !options.noStdin,
      detachKeys: parseDetachKeys(options.detachKeys),
      sigProxy: options.sigProxy,
    });
  },
});
