import { defineCommand } from "citty";
import { OperandError, type OptionDefs, parseOptions } from "../args.ts";
import { parseDetachKeys } from "../attach.ts";
import { containersToStart } from "../autostart.ts";
import { UsageError } from "../errors.ts";
import * as life from "../life.ts";
import * as output from "../output.ts";
import { forEach } from "./each.ts";

const args = {
  "at-boot": {
    type: "boolean",
    description: "Start those whose restart policy is always, or unless-stopped: pod system autostart",
  },
  attach: { type: "boolean", alias: "a", description: "Attach STDOUT/STDERR and forward signals" },
  "detach-keys": {
    type: "string",
    default: "ctrl-p,ctrl-q",
    description: "Override the key sequence for detaching a container",
  },
  interactive: { type: "boolean", alias: "i", description: "Attach container's STDIN" },
  "sig-proxy": { type: "boolean", default: true, description: "Proxy received signals to the process" },
  container: { type: "positional", required: false, multiple: true },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "start", description: "Start one or more stopped containers" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    if (!options.atBoot && operands.length === 0) throw new OperandError("requires at least 1 argument");
    if (options.atBoot && operands.length > 0) throw new UsageError("--at-boot takes no containers");
    const names = options.atBoot ? containersToStart() : operands;
    const attached = options.attach || options.interactive;
    if (attached && operands.length > 1)
      throw new UsageError("you cannot start and attach multiple containers at once");
    const attachment = {
      detach: !attached,
      stdin: options.interactive,
      detachKeys: parseDetachKeys(options.detachKeys),
      sigProxy: options.sigProxy,
    };
    if (attached) return life.start(operands[0]!, attachment);
    await forEach(names, false, (name) => {
      life.start(name, attachment);
      output.line(name);
    });
    return 0;
  },
});
