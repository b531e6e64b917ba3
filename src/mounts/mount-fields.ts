/** The keys and values of one `--mount`. */

import { UsageError } from "../errors.ts";
import { splitFields } from "./fields.ts";

/** Other names of keys, podman's among them. */
const aliases: Record<string, string> = {
  src: "source",
  dst: "target",
  destination: "target",
  ro: "readonly",
  "volume-subpath": "subpath",
  "image-subpath": "subpath",
  u: "chown",
};
/** Keys that may stand alone. */
const switches = ["readonly", "rw", "volume-nocopy", "bind-nonrecursive", "bind-create-src", "chown"];
const values = [
  ...["type", "source", "target", "subpath", "consistency", "relabel", "bind-propagation", "bind-recursive"],
  ...["volume-label", "volume-driver", "volume-opt", "tmpfs-size", "tmpfs-mode"],
];

export interface MountFields {
  type: string;
  source: string;
  target: string;
  readonly: boolean;
  chown: boolean;
  subpath?: string;
  /** Keys as they were given, for what belongs to one type only. */
  keys: string[];
  value: (key: string) => string | undefined;
  labels: Record<string, string>;
}

/** Throws UsageError for what is no key, or lacks its value. */
export function readFields(text: string): MountFields {
  const found = new Map<string, string | undefined>();
  const labels: Record<string, string> = {};
  const keys: string[] = [];
  for (const field of splitFields(text)) {
    const [, written = "", value] = /^([^=]*)(?:=([\s\S]*))?$/.exec(field) ?? [];
    if (written.trim() !== written) {
      throw new UsageError(`invalid option '${written}' in '${field}': option should not have whitespace`);
    }
    const lower = written.toLowerCase();
    const key = aliases[lower] ?? lower;
    if (value === undefined && !switches.includes(key)) {
      throw new UsageError(`invalid field '${field}' must be a key=value pair`);
    }
    if (value === "") throw new UsageError(`invalid value for '${written}': value is empty`);
    if (!switches.includes(key) && !values.includes(key)) {
      throw new UsageError(`unexpected key '${written}' in '${field}'`);
    }
    keys.push(lower);
    if (key === "volume-label") {
      const [, name = "", label = ""] = /^([^=]*)=?([\s\S]*)$/.exec(value!)!;
      if (name) labels[name] = label;
    } else found.set(key, switches.includes(key) ? String(parseSwitch(written, value)) : value);
  }
  const isTrue = (key: string) => found.get(key) === "true";
  return {
    type: (found.get("type") ?? "volume").toLowerCase(),
    source: found.get("source") ?? "",
    target: found.get("target") ?? "",
    readonly: isTrue("readonly") || found.get("rw") === "false",
    chown: isTrue("chown"),
    subpath: found.get("subpath"),
    keys,
    value: (key) => found.get(key),
    labels,
  };
}

function parseSwitch(key: string, value: string | undefined): boolean {
  if (value === undefined || value === "1" || value === "true") return true;
  if (value === "0" || value === "false") return false;
  throw new UsageError(
    `invalid value for '${key}': invalid boolean value (${JSON.stringify(value)}): must be one of "true", "1", "false", or "0" (default "true")`,
  );
}
