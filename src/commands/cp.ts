import { resolve } from "node:path";
import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import {
  type CopyOptions,
  copyFromContainer,
  copyToContainer,
  packFromContainer,
  unpackIntoContainer,
} from "../copy.ts";
import { UsageError } from "../errors.ts";
import { formatSize } from "../format/units.ts";
import * as output from "../output.ts";

const args = {
  archive: { type: "boolean", alias: "a", description: "Archive mode (copy all uid/gid information)" },
  "follow-link": { type: "boolean", alias: "L", description: "Always follow symbol link in SRC_PATH" },
  quiet: { type: "boolean", alias: "q", description: "Suppress the line that tells how much was copied" },
  source: { type: "positional", valueHint: "CONTAINER:SRC_PATH|SRC_PATH|-" },
  target: { type: "positional", valueHint: "CONTAINER:DEST_PATH|DEST_PATH|-" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "cp", description: "Copy files/folders between a container and the local filesystem" },
  args,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const [from, to] = operands.map(parseEnd) as [End, End];
    if (!from.path) throw new UsageError("source can not be empty");
    if (!to.path) throw new UsageError("destination can not be empty");
    if (from.container && to.container) throw new UsageError("copying between containers is not supported");
    if (!from.container && !to.container) throw new UsageError("must specify at least one container source");
    if (from.container && to.path === "-") return packFromContainer(from.container, from.path, 1, options);
    const bytes = copy(from, to, options);
    const place = to.container ? `${to.container}:${to.path}` : onHost(to.path);
    if (!options.quiet) output.write("stderr", `Successfully copied ${formatSize(bytes)} to ${place}\n`);
  },
});

function copy(from: End, to: End, options: CopyOptions): number {
  if (from.container) return copyFromContainer(from.container, from.path, onHost(to.path), options);
  if (from.path === "-") return unpackIntoContainer(0, to.container!, to.path);
  return copyToContainer(onHost(from.path), to.container!, to.path, options);
}

interface End {
  container?: string;
  path: string;
}

/** docker/cli: what begins with `/` or `.` is a path, for a container's name does not. */
function parseEnd(text: string): End {
  const at = text.startsWith("/") || text.startsWith(".") ? -1 : text.indexOf(":");
  return at === -1 ? { path: text } : { container: text.slice(0, at), path: text.slice(at + 1) };
}

/** Absolute, with the `/` or `/.` at its end that says what is meant. */
function onHost(path: string): string {
  const ending = path.match(/(?:^|\/)\.$/) ? "/." : path.endsWith("/") ? "/" : "";
  return resolve(path) + ending;
}
