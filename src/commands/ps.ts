import { defineCommand } from "citty";
import { type OptionDefs, type Options, parseOptions } from "../args.ts";
import { containerTests } from "../format/container-filters.ts";
import { containerListStyle, containerRow, withSize } from "../format/containers.ts";
import { applyFilters } from "../format/filters.ts";
import * as output from "../output.ts";
import type { ContainerState } from "../storage/container-state.ts";
import { listContainers } from "../storage/containers.ts";
import { listSummaries } from "../storage/images.ts";
import { parseInteger } from "../values.ts";
import { filterOption, listFormat } from "./list-options.ts";

const args = {
  all: { type: "boolean", alias: "a", description: "Show all containers (default shows just running)" },
  filter: filterOption(Object.keys(containerTests)),
  format: listFormat,
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
  size: { type: "boolean", alias: "s", description: "Display total file sizes" },
  watch: { type: "boolean", alias: "w", description: "Show the list anew every second, until interrupted" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "ps", description: "List containers" },
  args,
  async run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, args);
    if (!options.watch) return output.write("stdout", await listed(options));
    for (;;) {
      output.redraw(await listed(options));
      await Bun.sleep(1000);
    }
  },
});

async function listed(options: Options<typeof args>): Promise<string> {
  const asked = options.last ?? -1;
  const last = options.latest ? 1 : asked > 0 ? asked : Infinity;
  const showsAll = options.all || last < Infinity || options.filter.some(([name]) => name === "status");
  const isShown = showsAll
    ? undefined
    : ({ status, restarting }: ContainerState) => status === "running" || restarting === true;
  const containers = applyFilters(listContainers(isShown, output.warnOf), options.filter, containerTests).slice(
    0,
    last,
  );
  const images = containers.length ? listSummaries() : [];
  const named = new Set(images.flatMap(({ id, references }) => (references.length ? [id] : [])));
  const rows = containers.map((container) =>
    containerRow(container, { full: options.noTrunc, imageIsNamed: named.has(container.record.image.id) }),
  );
  if (options.quiet && !options.format) return rows.map(({ ID }) => `${ID}\n`).join("");
  const needsSizes = options.size || /\.Size\b/.test(options.format ?? "");
  if (!needsSizes) return output.formatList(rows, containerListStyle(false), options.format);
  const { sizesOf } = await import("../container-sizes.ts"); // it loads much
  const sizes = sizesOf(containers);
  const sized = rows.map((row, index) => withSize(row, sizes.get(containers[index]!.record.id)!));
  return output.formatList(sized, containerListStyle(true), options.format);
}
