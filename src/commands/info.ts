import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { formatBinarySize } from "../format/units.ts";
import * as output from "../output.ts";
import { systemInfo } from "../system.ts";
import { versionText } from "../version.ts";

const args = {
  format: { type: "string", alias: "f", description: "Format output: 'json' or a Go template" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "info", description: "Display system-wide information" },
  args,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, args);
    const info = systemInfo();
    output.line(options.format === undefined ? toText(info) : output.formatObject(info, options.format, "info"));
  },
});

type Info = ReturnType<typeof systemInfo>;

/** Docker's layout: what is below something is indented by one space more. */
function toText(info: Info): string {
  return [
    versionText(),
    "",
    "Server:",
    ` Containers: ${info.Containers}`,
    `  Running: ${info.ContainersRunning}`,
    `  Paused: ${info.ContainersPaused}`,
    `  Stopped: ${info.ContainersStopped}`,
    ` Images: ${info.Images}`,
    ` Server Version: ${info.ServerVersion}`,
    ` Storage Driver: ${info.Driver}`,
    `  Reason: ${info.DriverReason}`,
    ...(info.DriverMissing ? [`  For a better one: ${info.DriverMissing}`] : []),
    ` Cgroup Driver: ${info.CgroupDriver}`,
    `  ${info.CgroupParent ? `Below: ${info.CgroupParent}` : `Missing: ${info.CgroupMissing}`}`,
    ` Ping: ${info.PingMissing ? `other containers only: ${info.PingMissing}` : "containers and what is outside"}`,
    ` Rootless: ${info.Rootless}`,
    ` User IDs: ${mappingText(info.UIDMappings)}`,
    ` Group IDs: ${mappingText(info.GIDMappings)}`,
    ` Kernel Version: ${info.KernelVersion}`,
    ` Operating System: ${info.OperatingSystem}`,
    ` OSType: ${info.OSType}`,
    ` Architecture: ${info.Architecture}`,
    ` CPUs: ${info.NCPU}`,
    ` Total Memory: ${formatBinarySize(info.MemTotal)}`,
    ` Name: ${info.Name}`,
    ` Root Dir: ${info.DockerRootDir}`,
  ].join("\n");
}

/** `0 is 1000, 1-65536 are 100000-165535`. */
function mappingText(mappings: Info["UIDMappings"]): string {
  return mappings
    .map(({ ContainerID: inside = 0, HostID: outside = 0, Size: size = 0 }) =>
      size === 1 ? `${inside} is ${outside}` : `${inside}-${inside + size - 1} are ${outside}-${outside + size - 1}`,
    )
    .join(", ");
}
