import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { UsageError } from "../errors.ts";
import * as output from "../output.ts";
import { parsePublish } from "../port-options.ts";
import { renameContainer, updatePorts, updateRestartPolicy } from "../update.ts";
import { forEach } from "./each.ts";

const args = {
  "publish-add": {
    type: "string",
    multiple: true,
    parse: parsePublish,
    valueHint: "list",
    description: "Publish a port, at once where the container runs, and from now on",
  },
  "publish-rm": {
    type: "string",
    multiple: true,
    parse: parsePublish,
    valueHint: "list",
    description: "Remove a published port by the container's port, or as it was published",
  },
  restart: { type: "string", description: "Restart policy to apply when a container exits" },
  container: { type: "positional", multiple: true },
} satisfies OptionDefs;

const laterFlags =
  "blkio-weight cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares c cpus cpuset-cpus cpuset-mems memory m memory-reservation memory-swap pids-limit".split(
    " ",
  );

export default defineCommand({
  meta: { name: "update", description: "Update configuration of one or more containers" },
  args,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args, { later: laterFlags });
    const { restart, publishAdd, publishRm } = options;
    const [add, remove] = [publishAdd.flat(), publishRm.flat()];
    const changesPorts = add.length > 0 || remove.length > 0;
    if (restart === undefined && !changesPorts) {
      throw new UsageError("you must provide one or more flags when using this command");
    }
    return forEach(operands, false, (name) => {
      if (changesPorts) updatePorts(name, { add, remove });
      if (restart !== undefined) updateRestartPolicy(name, restart);
      output.line(name);
    });
  },
});

const renameArgs = {
  container: { type: "positional" },
  name: { type: "positional", valueHint: "NEW_NAME" },
} satisfies OptionDefs;

export const rename = defineCommand({
  meta: { name: "rename", description: "Rename a container" },
  args: renameArgs,
  run({ rawArgs }) {
    const [container, name] = parseOptions(rawArgs, renameArgs).operands as [string, string];
    renameContainer(container, name);
  },
});
