/** `--log-driver` and `--log-opt`: what becomes of a container's output. */

import { UsageError } from "./errors.ts";
import { parseBytes, parseInteger, parseKeyValue } from "./values.ts";

export interface LogConfig {
  driver: "local" | "json-file" | "none";
  /** As given. */
  options: Record<string, string>;
  /** Of each of `files` files: what is older goes. Without it there is no limit. */
  maximumBytes?: number;
  files: number;
}

const megabyte = 1 << 20;

/** What holds where nothing is asked for: as much as nobody misses, and no disk full of what nobody reads. */
const defaults = {
  local: { maximumBytes: 100 * megabyte, files: 5 },
  "json-file": { maximumBytes: undefined, files: 1 },
  none: { maximumBytes: 16 * megabyte, files: 4 }, // kept for who is attached, until the container ends
};

const optionsOf = {
  local: ["max-size", "max-file"],
  "json-file": ["max-size", "max-file", "labels", "env"],
  none: [] as string[],
};

/** Throws UsageError in Docker's words. */
export function parseLogConfig(driver: string, pairs: string[]): LogConfig {
  if (!isDriver(driver)) {
    throw new UsageError(`logger: no log driver named '${driver}' is registered`, {
      hint: `the drivers are ${Object.keys(defaults).join(", ")}`,
    });
  }
  const options = Object.fromEntries(pairs.map(parseKeyValue));
  for (const name of Object.keys(options)) {
    if (!optionsOf[driver].includes(name)) {
      throw new UsageError(`unknown log opt '${name}' for ${driver} log driver`);
    }
  }
  const files = options["max-file"] === undefined ? defaults[driver].files : parseInteger(options["max-file"]);
  if (files < 1) throw new UsageError("max-file cannot be less than 1");
  return { driver, options, maximumBytes: maximumOf(options["max-size"], defaults[driver].maximumBytes), files };
}

function isDriver(text: string): text is LogConfig["driver"] {
  return Object.hasOwn(defaults, text);
}

/** -1 is no limit. */
function maximumOf(text: string | undefined, usual: number | undefined): number | undefined {
  if (text === undefined) return usual;
  if (text === "-1") return undefined;
  const bytes = parseBytes(text);
  if (bytes < 1) throw new UsageError("max-size must be a positive number");
  return bytes;
}

/** The labels and variables that the options `labels` and `env` choose: of JSON lines, and for `logs --details`. */
export function logAttributes(
  { options }: LogConfig,
  labels: Record<string, string>,
  env: string[],
): Record<string, string> {
  const variables = Object.fromEntries(env.map(parseKeyValue));
  const chosen = (from: Record<string, string>, names = "") =>
    names.split(",").flatMap((name) => (Object.hasOwn(from, name) ? [[name, from[name]!]] : []));
  return Object.fromEntries([...chosen(labels, options.labels), ...chosen(variables, options.env)]);
}
