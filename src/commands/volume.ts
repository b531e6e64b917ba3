import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { NotFoundError, PodError, UsageError } from "../errors.ts";
import { applyFilters } from "../format/filters.ts";
import { inspectVolume, volumeListStyle, volumeRow, volumeTests } from "../format/volumes.ts";
import * as output from "../output.ts";
import { passOver } from "../storage/containers.ts";
import {
  anonymousLabel,
  findVolume,
  listVolumes,
  newVolumeName,
  putVolume,
  readVolume,
  volumeUsers,
} from "../storage/volumes.ts";
import { parseKeyValue } from "../values.ts";
import { exportVolume, importVolume, removeVolume } from "../volumes.ts";
import { forEach } from "./each.ts";
import { printObjects } from "./inspect.ts";
import { inspectFormat, listOptions } from "./list-options.ts";
import { writeOutput } from "./output-file.ts";

const createArgs = {
  driver: { type: "string", alias: "d", default: "local", description: "Specify volume driver name: local" },
  label: { type: "string", multiple: true, description: "Set metadata for a volume" },
  opt: { type: "string", alias: "o", multiple: true, description: "Set driver specific options: there are none" },
  volume: { type: "positional", required: false },
} satisfies OptionDefs;

export const create = defineCommand({
  meta: { name: "create", description: "Create a volume" },
  args: createArgs,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, createArgs);
    const { driver, label, opt } = options;
    const name = operands[0] || newVolumeName();
    if (driver !== "local") {
      const plugin = JSON.stringify(driver);
      throw new PodError(`create ${name}: error looking up volume plugin ${driver}: plugin ${plugin} not found`);
    }
    if (opt[0] !== undefined) {
      throw new UsageError(`create ${name}: option ${JSON.stringify(parseKeyValue(opt[0])[0])} is not supported`, {
        hint: "pod's volumes are folders of its store; -v /folder:/destination mounts one of the host's",
      });
    }
    putVolume(name, { ...Object.fromEntries(label.map(parseKeyValue)), ...(!operands[0] && { [anonymousLabel]: "" }) });
    output.line(name);
  },
});

const listArgs = listOptions(["dangling", "driver", "label", "name"], "volume names");

export const list = defineCommand({
  meta: { name: "ls", description: "List volumes" },
  args: listArgs,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, listArgs);
    const volumes = applyFilters(
      listVolumes(),
      options.filter,
      volumeTests(() => volumeUsers(passOver)),
    );
    if (options.quiet && !options.format) output.write("stdout", volumes.map(({ name }) => `${name}\n`).join(""));
    else
      output.list(
        volumes.map((volume) => volumeRow(volume)),
        volumeListStyle,
        options.format,
      );
  },
});

const inspectArgs = {
  format: inspectFormat,
  volume: { type: "positional", multiple: true },
} satisfies OptionDefs;

export const inspect = defineCommand({
  meta: { name: "inspect", description: "Display detailed information on one or more volumes" },
  args: inspectArgs,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, inspectArgs);
    const found = operands.map(readVolume);
    printObjects(found.filter((volume) => volume !== undefined).map(inspectVolume), options.format);
    const missing = operands.filter((_, index) => !found[index]);
    for (const name of missing) output.write("stderr", `pod: get ${name}: no such volume\n`);
    return missing.length ? 1 : 0;
  },
});

const removeArgs = {
  force: { type: "boolean", alias: "f", description: "Do not fail where a volume does not exist" },
  volume: { type: "positional", multiple: true },
} satisfies OptionDefs;

export const remove = defineCommand({
  meta: { name: "rm", description: "Remove one or more volumes" },
  args: removeArgs,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, removeArgs);
    await forEach(operands, false, (name) => {
      try {
        removeVolume(name);
      } catch (error) {
        if (!options.force || !(error instanceof NotFoundError)) throw error;
      }
      output.line(name);
    });
  },
});

const existsArgs = { volume: { type: "positional" } } satisfies OptionDefs;

export const exists = defineCommand({
  meta: { name: "exists", description: "Check if a volume exists: exit code 0 if so, else 1" },
  args: existsArgs,
  run({ rawArgs }) {
    return readVolume(parseOptions(rawArgs, existsArgs).operands[0]!) ? 0 : 1;
  },
});

const exportArgs = {
  output: { type: "string", alias: "o", description: "Write to a file, instead of STDOUT" },
  volume: { type: "positional" },
} satisfies OptionDefs;

export const exportArchive = defineCommand({
  meta: { name: "export", description: "Export a volume's files as a tar archive" },
  args: exportArgs,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, exportArgs);
    const { name } = findVolume(operands[0]!);
    await writeOutput("export", options.output, (write) => exportVolume(name, write));
  },
});

const importArgs = {
  volume: { type: "positional" },
  source: { type: "positional", required: false, valueHint: "file|-" },
} satisfies OptionDefs;

export const importArchive = defineCommand({
  meta: { name: "import", description: "Import a tar archive's files into a volume" },
  args: importArgs,
  async run({ rawArgs }) {
    const [name, source = "-"] = parseOptions(rawArgs, importArgs).operands;
    try {
      await importVolume(name!, source);
    } catch (cause) {
      throw cause instanceof NotFoundError ? cause : new PodError(`import ${source} into volume ${name}`, { cause });
    }
  },
});
