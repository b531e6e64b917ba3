import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import * as output from "../output.ts";
import { build, versionText } from "../version.ts";

const args = {
  format: { type: "string", alias: "f", description: "Format output: 'json' or a Go template" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "version", description: "Show the pod version information" },
  args,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, args);
    if (options.format === undefined) output.line(versionText());
    else output.line(output.formatObject(toObject(), options.format, "version"));
  },
});

/** Docker's shape. The program is its own engine: scripts that ask for the server's version get the engine's. */
function toObject() {
  const program = {
    Version: build.version,
    GitCommit: build.commit,
    BunVersion: build.bun,
    Os: build.os,
    Arch: build.architecture,
  };
  return { Client: program, Server: program };
}
