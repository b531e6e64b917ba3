import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { watchEvents } from "../events.ts";
import { eventTests, formatEvent } from "../format/events.ts";
import { toTest } from "../format/filters.ts";
import * as output from "../output.ts";
import { parseTime } from "../values.ts";
import { filterOption } from "./list-options.ts";

const args = {
  filter: filterOption(Object.keys(eventTests)),
  format: { type: "string", description: "Format output: 'json' or a Go template" },
  since: { type: "string", parse: parseTime, description: "Show all events created since timestamp" },
  until: { type: "string", parse: parseTime, description: "Stream events until this timestamp" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "events", description: "Get real time events from pod" },
  args,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, args);
    const isWanted = toTest(options.filter, eventTests);
    for (const event of watchEvents(options)) {
      if (isWanted(event)) output.line(formatEvent(event, options.format));
    }
  },
});
