import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { NotFoundError, UsageError } from "../errors.ts";
import { applyFilters, type FilterTests, hasLabel, matchesPattern, parseFlagFilter } from "../format/filters.ts";
import { allNetworks, type ShownNetwork } from "../format/network-names.ts";
import { inspectNetwork, networkListStyle, networkRow } from "../format/networks.ts";
import * as actions from "../network.ts";
import { createNetwork } from "../networks.ts";
import * as output from "../output.ts";
import { listMembers, predefinedNetworks } from "../storage/networks.ts";
import { parseKeyValue } from "../values.ts";
import { forEach } from "./each.ts";
import { inspectFormat, listOptions } from "./list-options.ts";

const createArgs = {
  attachable: { type: "boolean", description: "Enable manual container attachment (always so)" },
  driver: { type: "string", alias: "d", default: "bridge", description: "Driver to manage the Network: bridge" },
  gateway: { type: "string", multiple: true, description: "IPv4 or IPv6 Gateway for the subnet" },
  internal: { type: "boolean", description: "Restrict external access to the network" },
  "ip-range": { type: "string", multiple: true, description: "Allocate container ip from a sub-range" },
  ipv6: { type: "boolean", description: "Enable IPv6 networking" },
  label: { type: "string", multiple: true, parse: parseKeyValue, description: "Set metadata on a network" },
  opt: {
    type: "string",
    alias: "o",
    multiple: true,
    parse: parseKeyValue,
    valueHint: "name=value",
    description: "Set driver specific options: mtu=BYTES, allow_host_loopback=true",
  },
  subnet: {
    type: "string",
    multiple: true,
    description: "Subnet in CIDR format that represents a network segment; one of IPv4 and one of IPv6",
  },
  network: { type: "positional" },
} satisfies OptionDefs;

const laterCreateFlags =
  "aux-address config-from config-only disable-dns dns ignore ingress interface-name ipam-driver ipam-opt ipv4 route scope".split(
    " ",
  );

export const create = defineCommand({
  meta: { name: "create", description: "Create a network" },
  args: createArgs,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, createArgs, { later: laterCreateFlags });
    const { driver, subnet, gateway, ipRange, ipv6, internal } = options;
    if (driver !== "bridge") {
      throw new UsageError(`network driver ${driver} is not supported`, { hint: "the driver is bridge" });
    }
    const [labels, settings] = [Object.fromEntries(options.label), Object.fromEntries(options.opt)];
    const network = createNetwork({
      name: operands[0]!,
      subnets: subnet,
      gateways: gateway,
      ipRanges: ipRange,
      ipv6,
      internal,
      labels,
      options: settings,
    });
    output.line(network.id);
  },
});

const tests: FilterTests<ShownNetwork> = {
  dangling: (value) => {
    const wanted = parseFlagFilter("dangling", value);
    return ({ name }) => (!predefinedNetworks.includes(name) && listMembers(name).length === 0) === wanted;
  },
  driver:
    (value) =>
    ({ driver }) =>
      driver === value,
  id:
    (value) =>
    ({ id }) =>
      matchesPattern(id, `^${value}`),
  label:
    (value) =>
    ({ record }) =>
      hasLabel(record?.labels, value),
  name:
    (value) =>
    ({ name }) =>
      matchesPattern(name, value),
  scope: (value) => () => value === "local",
  type: (value) => {
    if (!["builtin", "custom"].includes(value)) throw new UsageError(`invalid filter: 'type'='${value}'`);
    return ({ name }) => predefinedNetworks.includes(name) === (value === "builtin");
  },
};

const listArgs = {
  ...listOptions(Object.keys(tests), "network IDs"),
  "no-trunc": { type: "boolean", description: "Do not truncate the output" },
} satisfies OptionDefs;

export const list = defineCommand({
  meta: { name: "ls", description: "List networks" },
  args: listArgs,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, listArgs);
    const rows = applyFilters(allNetworks(), options.filter, tests).map((each) => networkRow(each, options.noTrunc));
    if (options.quiet && !options.format) output.write("stdout", rows.map(({ ID }) => `${ID}\n`).join(""));
    else output.list(rows, networkListStyle, options.format);
  },
});

const inspectArgs = {
  format: inspectFormat,
  verbose: { type: "boolean", alias: "v", description: "Verbose output for diagnostics" },
  network: { type: "positional", multiple: true },
} satisfies OptionDefs;

/** What is found is shown; what is not is told after it. */
export const inspect = defineCommand({
  meta: { name: "inspect", description: "Display detailed information on one or more networks" },
  args: inspectArgs,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, inspectArgs);
    const found = operands.map(shownNetwork);
    const objects = found.filter((network) => network !== undefined).map(inspectNetwork);
    if (options.format === undefined) output.line(JSON.stringify(objects, null, 4));
    else if (options.format === "json") output.line(JSON.stringify(objects));
    else output.line(objects.map((object) => output.formatObject(object, options.format!, "object")).join("\n"));
    const missing = operands.filter((_, index) => !found[index]);
    if (missing.length) throw new AggregateError(missing.map((name) => new NotFoundError(`network ${name} not found`)));
  },
});

function shownNetwork(text: string): ShownNetwork | undefined {
  const networks = allNetworks();
  const named = networks.find(({ name }) => name === text);
  const byId = /^[0-9a-f]+$/.test(text) ? networks.filter(({ id }) => id.startsWith(text)) : [];
  return named ?? (byId.length === 1 ? byId[0] : undefined);
}

const removeArgs = {
  force: { type: "boolean", alias: "f", description: "Do not error if the network does not exist" },
  network: { type: "positional", multiple: true },
} satisfies OptionDefs;

export const remove = defineCommand({
  meta: { name: "rm", description: "Remove one or more networks" },
  args: removeArgs,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, removeArgs);
    return forEach(operands, options.force, (name) => {
      actions.removeNetwork(name);
      output.line(name);
    });
  },
});

const connectArgs = {
  alias: { type: "string", multiple: true, description: "Add network-scoped alias for the container" },
  ip: { type: "string", description: 'IPv4 address (e.g., "172.30.100.104")' },
  ip6: { type: "string", description: 'IPv6 address (e.g., "2001:db8::33")' },
  "mac-address": { type: "string", description: "MAC address of the container's interface" },
  network: { type: "positional" },
  container: { type: "positional" },
} satisfies OptionDefs;

export const connect = defineCommand({
  meta: { name: "connect", description: "Connect a container to a network" },
  args: connectArgs,
  run({ rawArgs }) {
    const later = ["driver-opt", "gw-priority", "link", "link-local-ip"];
    const { options, operands } = parseOptions(rawArgs, connectArgs, { later });
    const { alias: aliases, ip: address, ip6: address6, macAddress: mac } = options;
    actions.connect(operands[0]!, operands[1]!, { aliases, address, address6, mac });
  },
});

const disconnectArgs = {
  force: { type: "boolean", alias: "f", description: "Force the container to disconnect from a network" },
  network: { type: "positional" },
  container: { type: "positional" },
} satisfies OptionDefs;

export const disconnect = defineCommand({
  meta: { name: "disconnect", description: "Disconnect a container from a network" },
  args: disconnectArgs,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, disconnectArgs);
    actions.disconnect(operands[0]!, operands[1]!, options);
  },
});

const existsArgs = { network: { type: "positional" } } satisfies OptionDefs;

export const exists = defineCommand({
  meta: { name: "exists", description: "Check if a network exists: exit code 0 if so, else 1" },
  args: existsArgs,
  run({ rawArgs }) {
    return shownNetwork(parseOptions(rawArgs, existsArgs).operands[0]!) ? 0 : 1;
  },
});

const reloadArgs = {
  all: { type: "boolean", alias: "a", description: "Reload the networks of all running containers" },
  container: { type: "positional", required: false, multiple: true },
} satisfies OptionDefs;

export const reload = defineCommand({
  meta: { name: "reload", description: "Start ways out again that containers have lost" },
  args: reloadArgs,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, reloadArgs);
    if (options.all && operands.length) throw new UsageError("--all and names of containers exclude each other");
    const names = options.all ? actions.runningContainers() : operands;
    if (!options.all && names.length === 0) throw new UsageError("name a container, or use --all");
    return forEach(names, false, (name) => output.line(actions.reloadNetworks(name)));
  },
});
