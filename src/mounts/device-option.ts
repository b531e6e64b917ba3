/** `--device`: a device of the host's, as a bind mount: a rootless user makes no device nodes. Texts are Docker's (docker/cli, opts.go). */

import { UsageError } from "../errors.ts";
import type { BindMount } from "../storage/container-mount.ts";
import { checkTarget, cleanPath } from "./paths.ts";

/** `source[:destination][:rwm]`. Throws UsageError. */
export function parseDevice(text: string): BindMount {
  const [source = "", second, third, ...rest] = text.split(":");
  const isLast = third === undefined && second !== undefined && /^[rwm]+$/.test(second);
  const destination = (isLast ? undefined : second) ?? source;
  const permissions = (isLast ? second : third) ?? "rwm";
  if (!source || !destination || rest.length) throw new UsageError(`invalid device specification: ${text}`);
  if (/^[^/]+\/[^/]+=/.test(source)) {
    throw new UsageError(`CDI devices are not supported: ${text}`, {
      hint: "name the device's nodes, like /dev/dri/card0",
    });
  }
  if (!source.startsWith("/")) throw new UsageError(`${source} is not an absolute path`);
  if (!/^(?!.*(.).*\1)[rwm]+$/.test(permissions)) throw new UsageError(`bad mode specified: ${permissions}`);
  if (!/r/.test(permissions) || !/w/.test(permissions)) {
    throw new UsageError(
      `device permissions ${permissions} are not supported: they need a device cgroup, which takes root`,
      {
        hint: "a container may do with a device what you may: leave them out",
      },
    );
  }
  checkTarget("bind", destination);
  return {
    type: "bind",
    source: cleanPath(source),
    destination: cleanPath(destination),
    readonly: false,
    makesSource: false,
    recursive: false,
    recursiveReadonly: false,
    propagation: "rprivate",
    flags: [],
    chown: false,
    mode: permissions,
    origin: "device",
  };
}
