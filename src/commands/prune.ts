import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { UsageError } from "../errors.ts";
import { applyFilters, type Filter, type FilterTests, hasLabel, parseFlagFilter } from "../format/filters.ts";
import { formatSize } from "../format/units.ts";
import { volumePruneTests } from "../format/volumes.ts";
import { pruneNetworks } from "../network.ts";
import * as output from "../output.ts";
import { pruneContainers, pruneImages, pruneVolumes } from "../prune.ts";
import type { Container } from "../storage/containers.ts";
import type { Image } from "../storage/images.ts";
import type { NetworkRecord } from "../storage/networks.ts";
import type { VolumeRecord } from "../storage/volumes.ts";
import { parseFilter, parseTime } from "../values.ts";

const common = {
  filter: {
    type: "string",
    multiple: true,
    valueHint: "filter",
    parse: parseFilter,
    description: "Provide filter values: until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE]",
  },
  force: { type: "boolean", alias: "f", description: "Do not prompt for confirmation" },
} satisfies OptionDefs;
const imageArgs = {
  all: { type: "boolean", alias: "a", description: "Remove all unused images, not just dangling ones" },
  ...common,
} satisfies OptionDefs;
const systemArgs = {
  ...imageArgs,
  volumes: { type: "boolean", description: "Prune anonymous volumes" },
} satisfies OptionDefs;
const volumeArgs = {
  all: { type: "boolean", alias: "a", description: "Remove all unused volumes, not just anonymous ones" },
  filter: { ...common.filter, description: "Provide filter values: all=1, label=KEY[=VALUE] or label!=KEY[=VALUE]" },
  force: common.force,
} satisfies OptionDefs;

export const containerPrune = defineCommand({
  meta: { name: "prune", description: "Remove all stopped containers" },
  args: common,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, common);
    checkFilters(options.filter);
    if (!isMeant(options.force, "WARNING! This will remove all stopped containers.")) return;
    tell(removeContainers(options.filter));
  },
});

export const imagePrune = defineCommand({
  meta: { name: "prune", description: "Remove unused images" },
  args: imageArgs,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, imageArgs);
    checkFilters(options.filter);
    if (!isMeant(options.force, `WARNING! This will remove ${imagesMeant(options.all)}.`)) return;
    tell(removeImages(options.all, options.filter));
  },
});

export const networkPrune = defineCommand({
  meta: { name: "prune", description: "Remove all unused networks" },
  args: common,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, common);
    checkFilters(options.filter);
    const warning = "WARNING! This will remove all custom networks not used by at least one container.";
    if (!isMeant(options.force, warning)) return;
    list(removeNetworks(options.filter));
  },
});

export const systemPrune = defineCommand({
  meta: { name: "prune", description: "Remove unused data" },
  args: systemArgs,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, systemArgs);
    checkFilters(options.filter);
    if (options.volumes && options.filter.some(([name]) => name === "until")) {
      throw new UsageError('The "until" filter is not supported with "--volumes"');
    }
    if (!isMeant(options.force, systemWarning(options))) return;
    tell(
      removeContainers(options.filter),
      removeNetworks(options.filter),
      ...(options.volumes ? [removeVolumes(false, options.filter)] : []),
      removeImages(options.all, options.filter),
    );
  },
});

export const volumePrune = defineCommand({
  meta: { name: "prune", description: "Remove unused local volumes" },
  args: volumeArgs,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, volumeArgs);
    const asked = options.filter.filter(([name]) => name === "all");
    if (options.all && asked.length) {
      throw new UsageError("conflicting options: cannot specify both --all and --filter all=1");
    }
    const all = options.all || asked.some(([, value]) => parseFlagFilter("all", value));
    const filters = options.filter.filter(([name]) => name !== "all");
    applyFilters([], filters, volumePruneTests);
    const kind = all ? "all" : "anonymous";
    if (!isMeant(options.force, `WARNING! This will remove ${kind} local volumes not used by at least one container.`))
      return;
    tell(removeVolumes(all, filters));
  },
});

const imagesMeant = (all: boolean) =>
  all ? "all images without at least one container associated to them" : "all dangling images";

/** Docker's text (docker/cli, command/system/prune.go). */
function systemWarning({ all, volumes, filter }: { all: boolean; volumes: boolean; filter: Filter[] }): string {
  const given = filter.map(([name, value]) => `  - ${name}=${value}\n`).join("");
  return [
    "WARNING! This will remove:",
    "  - all stopped containers",
    "  - all networks not used by at least one container",
    ...(volumes ? ["  - all anonymous volumes not used by at least one container"] : []),
    `  - ${imagesMeant(all)}`,
    "  - interrupted pulls that nobody took up for seven days",
    given && `\n  Items to be pruned will be filtered with:\n${given}`,
  ].join("\n");
}

function isMeant(force: boolean, warning: string): boolean {
  if (force) return true;
  output.write("stdout", `${warning}\n`);
  return confirm("Are you sure you want to continue?");
}

/** Before anything is asked or removed, and also where there is nothing that a filter would be tried on. */
function checkFilters(filters: Filter[]): void {
  applyFilters([], filters, containerTests);
  const times = filters.filter(([name]) => name === "until");
  if (times.length > 1) throw new UsageError("more than one until filter specified");
}

type Labels = Record<string, string> | null | undefined;

function testsOf<T>(created: (item: T) => string | undefined, labels: (item: T) => Labels): FilterTests<T> {
  return {
    until: (value) => {
      const time = parseTime(value);
      return (item) => BigInt(Date.parse(created(item) ?? "") || 0) * 1_000_000n < time;
    },
    label: (value) => (item) => hasLabel(labels(item), value),
    "label!": (value) => (item) => !hasLabel(labels(item), value),
  };
}
const containerTests = testsOf<Container>(
  ({ record }) => record.created,
  ({ record }) => record.labels,
);
const imageTests = testsOf<Image>(
  ({ created }) => created,
  ({ config }) => config.config?.Labels,
);

const networkTests = testsOf<NetworkRecord>(
  ({ created }) => created,
  ({ labels }) => labels,
);

/** What was removed, below Docker's heading. */
interface Removed {
  heading: string;
  lines: string[];
  reclaimedBytes: number;
}

function removeContainers(filters: Filter[]): Removed {
  const { deleted, reclaimedBytes } = pruneContainers((containers) =>
    applyFilters(containers, filters, containerTests),
  );
  return { heading: "Deleted Containers:", lines: deleted, reclaimedBytes };
}

function removeNetworks(filters: Filter[]): Removed {
  const lines = pruneNetworks((networks) => applyFilters(networks, filters, networkTests));
  return { heading: "Deleted Networks:", lines, reclaimedBytes: 0 };
}

function removeVolumes(all: boolean, filters: Filter[]): Removed {
  const select = (volumes: VolumeRecord[]) => applyFilters(volumes, filters, volumePruneTests);
  const { deleted, reclaimedBytes } = pruneVolumes({ all, select });
  return { heading: "Deleted Volumes:", lines: deleted, reclaimedBytes };
}

function removeImages(all: boolean, filters: Filter[]): Removed {
  const select = (images: Image[]) => applyFilters(images, filters, imageTests);
  return { heading: "Deleted Images:", ...pruneImages({ all, select }) };
}

function list(...removed: Removed[]): void {
  for (const { heading, lines } of removed) if (lines.length) output.line(`${[heading, ...lines].join("\n")}\n`);
}

function tell(...removed: Removed[]): void {
  list(...removed);
  const bytes = removed.reduce((sum, { reclaimedBytes }) => sum + reclaimedBytes, 0);
  output.line(`Total reclaimed space: ${formatSize(bytes, 4)}`);
}
