import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { LogPrinter } from "../format/log-lines.ts";
import * as output from "../output.ts";
import { findContainer, readContainer } from "../storage/containers.ts";
import { followLog, readLog } from "../storage/logs.ts";
import { parseTail, parseTime } from "../values.ts";

const args = {
  follow: { type: "boolean", alias: "f", description: "Follow log output" },
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
  container: { type: "positional" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "logs", description: "Fetch the logs of a container" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const { id } = findContainer(operands[0]!).record;
    const { tail, since, until } = options;
    const printer = new LogPrinter(output.write, { timestamps: options.timestamps });
    if (!options.follow) {
      for (const chunk of readLog(id, { tail, since, until })) printer.push(chunk);
      printer.flush();
      return;
    }
    const isRunning = () => readContainer(id)?.state.status === "running";
    for (const chunk of followLog(id, { tail, since, until }, isRunning)) {
      printer.push(chunk);
      printer.flush();
    }
  },
});
