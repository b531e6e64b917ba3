import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { NotFoundError, UsageError } from "../errors.ts";
import { findContainer } from "../storage/containers.ts";

const args = {
  container: { type: "positional" },
  port: { type: "positional", required: false, valueHint: "PRIVATE_PORT[/PROTO]" },
} satisfies OptionDefs;

/** No container has any yet: so the list is empty. */
export default defineCommand({
  meta: { name: "port", description: "List port mappings or a specific mapping for the container" },
  args,
  run({ rawArgs }) {
    const [name, port] = parseOptions(rawArgs, args).operands as [string, string?];
    findContainer(name);
    if (port === undefined) return;
    const [, number, protocol = "tcp"] = port.match(/^(\d+)(?:\/(tcp|udp|sctp))?$/) ?? [];
    if (!number || Number(number) > 65535) throw new UsageError(`invalid port '${port}'`);
    throw new NotFoundError(`no public port '${number}/${protocol}' published for ${name}`);
  },
});
