import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import {
  containerUsageListStyle,
  containerUsageRow,
  imageUsageListStyle,
  imageUsageRows,
  totalListStyle,
  totalRows,
  volumeUsageRow,
} from "../format/disk-usage.ts";
import { volumeUsageListStyle } from "../format/volumes.ts";
import * as output from "../output.ts";
import { type DiskUsage, diskUsage } from "../storage/diskusage.ts";

const args = {
  format: { type: "string", description: "Format output: 'table', 'table TEMPLATE', 'json' or a Go template" },
  verbose: { type: "boolean", alias: "v", description: "Show detailed information on space usage" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "df", description: "Show pod disk usage" },
  args,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, args);
    const usage = diskUsage();
    if (!options.verbose) output.list(totalRows(usage), totalListStyle, options.format);
    else if (options.format === undefined || options.format === "table") output.write("stdout", verboseText(usage));
    else output.line(output.formatObject(verboseObject(usage), options.format, "disk usage"));
  },
});

/** For a template or `json`: all of it is one object. */
function verboseObject(usage: DiskUsage) {
  return {
    Images: usage.images.flatMap(imageUsageRows),
    Containers: usage.containers.map(containerUsageRow),
    Volumes: usage.volumes.map(volumeUsageRow),
    InterruptedPulls: totalRows(usage)[3],
  };
}

function verboseText(usage: DiskUsage): string {
  const { Images, Containers, Volumes, InterruptedPulls } = verboseObject(usage);
  return [
    "Images space usage:\n",
    output.formatList(Images, imageUsageListStyle, "table"),
    "Containers space usage:\n",
    output.formatList(Containers, containerUsageListStyle, "table"),
    "Local Volumes space usage:\n",
    output.formatList(Volumes, volumeUsageListStyle, "table"),
    `Interrupted pulls: ${InterruptedPulls!.TotalCount}, ${InterruptedPulls!.Size}\n`,
  ].join("\n");
}
