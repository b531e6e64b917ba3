import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { NotFoundError, UsageError } from "../errors.ts";
import { formatHostPort } from "../format/ports.ts";
import * as output from "../output.ts";
import { findContainer, type PublishedPort } from "../storage/containers.ts";

const args = {
  source: {
    type: "boolean",
    description: 'Show too whom the container sees when somebody calls ("client", "gateway", "container")',
  },
  container: { type: "positional" },
  port: { type: "positional", required: false, valueHint: "PRIVATE_PORT[/PROTO]" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "port", description: "List port mappings or a specific mapping for the container" },
  args,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const [name, wanted] = operands as [string, string?];
    const published = findContainer(name).state.ports ?? [];
    const show = (port: PublishedPort) =>
      options.source ? `${formatHostPort(port)} ${port.seenAs ?? "container"}` : formatHostPort(port);
    if (wanted === undefined) {
      const lines = published.map((port) => `${port.port}/${port.protocol} -> ${show(port)}\n`);
      return output.write("stdout", lines.join(""));
    }
    const [, number, protocol = "tcp"] = wanted.match(/^(\d+)(?:\/(tcp|udp|sctp))?$/) ?? [];
    if (!number || Number(number) > 65535) throw new UsageError(`invalid port '${wanted}'`);
    const found = published.filter((port) => port.port === Number(number) && port.protocol === protocol);
    if (!found.length) throw new NotFoundError(`no public port '${number}/${protocol}' published for ${name}`);
    output.line(found.map(show).join("\n"));
  },
});
