import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { UsageError } from "../errors.ts";
import { containerListStyle, containerRow } from "../format/containers.ts";
import { applyFilters, type FilterTests, hasLabel, matchesPattern } from "../format/filters.ts";
import * as output from "../output.ts";
import { type Container, findContainer, listContainers } from "../storage/containers.ts";
import { findImage } from "../storage/images.ts";
import { parseFilter, parseInteger } from "../values.ts";

const args = {
  all: { type: "boolean", alias: "a", description: "Show all containers (default shows just running)" },
  filter: {
    type: "string",
    alias: "f",
    multiple: true,
    valueHint: "filter",
    parse: parseFilter,
    description: "Filter output by ancestor, before, exited, id, label, name, network, since, status or volume",
  },
  format: { type: "string", description: "Format output: 'table', 'table TEMPLATE', 'json' or a Go template" },
  last: {
    type: "string",
    alias: "n",
    valueHint: "int",
    parse: parseInteger,
    description: "Show n last created containers (includes all states)",
  },
  latest: { type: "boolean", alias: "l", description: "Show the latest created container (includes all states)" },
  "no-trunc": { type: "boolean", description: "Don't truncate output" },
  quiet: { type: "boolean", alias: "q", description: "Only display container IDs" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "ps", description: "List containers" },
  args,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, args);
    const asked = options.last ?? -1;
    const last = options.latest ? 1 : asked > 0 ? asked : Infinity;
    const showsAll = options.all || last < Infinity || options.filter.some(([name]) => name === "status");
    const containers = applyFilters(listContainers(), options.filter, tests)
      .filter(({ state }) => showsAll || state.status === "running")
      .slice(0, last);
    const rows = containers.map((container) => containerRow(container, { full: options.noTrunc }));
    if (options.quiet && !options.format) for (const row of rows) output.line(row.ID);
    else output.list(rows, containerListStyle, options.format);
  },
});

const statuses = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

const tests: FilterTests<Container> = {
  ancestor: ({ record }, value) => record.image.reference === value || record.image.id === findImage(value)?.id,
  before: ({ record }, value) => record.created < findContainer(value).record.created,
  exited: ({ state }, value) => state.status === "exited" && state.exitCode === parseInteger(value),
  id: ({ record }, value) => matchesPattern(record.id, value),
  label: ({ record }, value) => hasLabel(record.labels, value),
  name: ({ record }, value) => matchesPattern(record.name, value.replace(/^(\^?)\//, "$1")),
  network: ({ record }, value) => record.network.mode === value,
  since: ({ record }, value) => record.created > findContainer(value).record.created,
  status: ({ state }, value) => {
    if (!statuses.includes(value)) throw new UsageError(`invalid filter 'status=${value}'`);
    return state.status === value;
  },
  volume: ({ record }, value) => record.binds.some(({ source, destination }) => [source, destination].includes(value)),
};
