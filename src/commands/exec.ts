import { defineCommand } from "citty";
import { parseOptions } from "../args.ts";
import { parseDetachKeys } from "../attach.ts";
import { exec } from "../exec.ts";
import { execArgs } from "./exec-options.ts";

export default defineCommand({
  meta: { name: "exec", description: "Execute a command in a running container" },
  args: execArgs,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, execArgs, { stopAtFirstOperand: true });
    const [container = "", ...command] = operands;
    return exec(container, {
      command,
      interactive: options.interactive,
      tty: options.tty,
      detach: options.detach,
      env: options.env,
      envFiles: options.envFile,
      user: options.user,
      workdir: options.workdir,
      privileged: options.privileged,
      detachKeys: parseDetachKeys(options.detachKeys),
    });
  },
});
