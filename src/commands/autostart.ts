import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { disableAutostart, enableAutostart } from "../autostart.ts";
import * as output from "../output.ts";

const args = {
  remove: { type: "boolean", description: "Take the unit away again" },
} satisfies OptionDefs;

export default defineCommand({
  meta: {
    name: "autostart",
    description: "Start containers with the machine: writes and enables a systemd unit of yours",
  },
  args,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, args);
    if (options.remove) return output.line(disableAutostart() ? "Removed" : "There was no unit");
    const { unitFile, isSystemd, lingerCommand } = enableAutostart(process.execPath);
    output.line(unitFile);
    if (!isSystemd) output.write("stderr", "pod: systemd does not run here: the unit waits until it does\n");
    if (!lingerCommand) return;
    output.write("stderr", `pod: your systemd, and what it started, ends when you log out\nhint: ${lingerCommand}\n`);
  },
});
