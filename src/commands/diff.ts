import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import * as output from "../output.ts";
import { changesOfContainer } from "../storage/container-files.ts";
import { findContainer } from "../storage/containers.ts";

const args = { container: { type: "positional" } } satisfies OptionDefs;

export default defineCommand({
  meta: { name: "diff", description: "Inspect changes to files or directories on a container's filesystem" },
  args,
  run({ rawArgs }) {
    const [name] = parseOptions(rawArgs, args).operands;
    const { record } = findContainer(name!);
    const lines = changesOfContainer(record).map(({ kind, path }) => `${kind} /${path}\n`);
    output.write("stdout", Buffer.from(lines.toArray().join(""), "latin1")); // names are bytes: they come out as they are
  },
});
