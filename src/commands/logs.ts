import { defineCommand } from "citty";
import { type OptionDefs, type Options, parseOptions } from "../args.ts";
import { PodError } from "../errors.ts";
import { LogPrinter } from "../format/log-lines.ts";
import { shortId } from "../format/units.ts";
import { logAttributes } from "../log-options.ts";
import * as output from "../output.ts";
import { type ContainerRecord, findContainer, readContainer } from "../storage/containers.ts";
import { readLogs } from "../storage/logs.ts";
import { parseTail, parseTime } from "../values.ts";

const args = {
  details: { type: "boolean", description: "Show the labels and variables that --log-opt labels and env have chosen" },
  follow: { type: "boolean", alias: "f", description: "Follow log output" },
  names: { type: "boolean", description: "Show whose each line is by name" },
  since: {
    type: "string",
    parse: parseTime,
    description: 'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
  },
  tail: {
    type: "string",
    alias: "n",
    default: "all",
    parse: parseTail,
    description: "Number of lines to show from the end of the logs",
  },
  timestamps: { type: "boolean", alias: "t", description: "Show timestamps" },
  until: {
    type: "string",
    parse: parseTime,
    description: 'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
  },
  container: { type: "positional", multiple: true },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "logs", description: "Fetch the logs of one or more containers" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const records = operands.map((name) => findContainer(name).record);
    if (records.some(({ log }) => log.driver === "none")) {
      throw new PodError("configured logging driver does not support reading");
    }
    const { follow, timestamps } = options;
    const printers = new Map(
      records.map((record) => [
        record.id,
        new LogPrinter(output.write, { timestamps, label: labelOf(record, records, options) }),
      ]),
    );
    let last: LogPrinter | undefined;
    for (const [id, chunk] of readLogs([...printers.keys()], options, follow ? isRunning : undefined)) {
      const printer = printers.get(id)!;
      if (printer !== last) last?.flush(); // what others have gathered comes first
      printer.push(chunk);
      if (follow) printer.flush();
      last = printer;
    }
    for (const printer of printers.values()) printer.finish();
  },
});

/** Of several containers each line tells whose it is, as with podman. */
function labelOf(
  { id, name, log, labels, process: program }: ContainerRecord,
  all: ContainerRecord[],
  { names, details }: Options<typeof args>,
): string {
  const whose = names ? name : all.length > 1 ? shortId(id) : "";
  const attributes = Object.entries(logAttributes(log, labels, program.env)).map(([key, value]) => `${key}=${value}`);
  return `${whose && `${whose} `}${details ? `${attributes.join(",")} ` : ""}`;
}

function isRunning(id: string): boolean {
  const state = readContainer(id)?.state;
  return state?.status === "running" || state?.restarting === true;
}
