import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { UsageError } from "../errors.ts";
import { logout, logoutAll, registryKey, serverName } from "../login.ts";
import * as output from "../output.ts";

const args = {
  all: { type: "boolean", alias: "a", description: "Log out from all registries" },
  server: { type: "positional", required: false, description: "Host of the registry; without it Docker Hub" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "logout", description: "Log out from a registry" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    if (options.all && operands.length) throw new UsageError("--all takes no arguments");
    const key = registryKey(operands[0]);
    output.line(options.all ? "Removing all login credentials" : `Removing login credentials for ${serverName(key)}`);
    const problems = options.all ? await logoutAll() : await logout(key);
    for (const problem of problems) output.warn(problem);
    return problems.length ? 1 : 0;
  },
});
