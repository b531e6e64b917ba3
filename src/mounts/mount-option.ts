/** `--mount`: `type=…,source=…,destination=…`. Rules and texts are Docker's (docker/cli, opts/mount.go; moby, linux_parser.go). */

import { UsageError } from "../errors.ts";
import type { BindMount, ContainerMount, ImageMount, TmpfsMount, VolumeMount } from "../storage/container-mount.ts";
import { checkVolumeName } from "../storage/volumes.ts";
import { parseBytes } from "../values.ts";
import { type MountFields, readFields } from "./mount-fields.ts";
import { checkTarget, cleanPath, propagationOf, resolveSource } from "./paths.ts";

const types = ["bind", "volume", "tmpfs", "image"];

/** A volume's name is empty where it gets one of pod's; an image's id is not known yet. Throws UsageError. */
export function parseMount(text: string): Exclude<ContainerMount, { type: "secret" }> {
  const given = readFields(text);
  const { type, target, keys, source } = given;
  checkKeys(given);
  if (!types.includes(type)) throw invalid(type, "mount type unknown");
  checkTarget(type, target);
  if (type === "bind") return toBind(given);
  if (type === "volume") return toVolume(given);
  if (type === "image") return toImage(given);
  if (source) throw invalid(type, "field Source must not be specified");
  if (keys.includes("subpath")) throw new UsageError("cannot mix 'volume-*' options with mount type 'tmpfs'");
  return toTmpfs(given);
}

function invalid(type: string, why: string): UsageError {
  return new UsageError(`invalid mount config for type "${type}": ${why}`);
}

function checkKeys({ type, target, keys, value }: MountFields): void {
  if (!target) throw new UsageError("target is required");
  for (const kind of types) {
    if (kind !== type && keys.some((key) => key.startsWith(`${kind}-`))) {
      throw new UsageError(`cannot mix '${kind}-*' options with mount type '${type}'`);
    }
  }
  if (value("chown") === "true" && type !== "bind" && type !== "volume") {
    throw new UsageError(`cannot mix 'U' with mount type '${type}'`);
  }
  const driver = value("volume-driver");
  if (driver !== undefined && driver !== "local") {
    throw new UsageError(`error looking up volume plugin ${driver}: plugin ${JSON.stringify(driver)} not found`);
  }
  if (value("volume-opt") !== undefined)
    throw new UsageError("volume-opt is not supported: pod's volumes have no options");
}

function toBind({ source, target, readonly, chown, keys, value }: MountFields): BindMount {
  if (!source) throw invalid("bind", "field Source must not be empty");
  if (keys.includes("subpath")) throw new UsageError("cannot mix 'volume-*' options with mount type 'bind'");
  if (!/^([./]|~(\/|$))/.test(source)) {
    throw invalid("bind", `invalid mount path: '${source}' mount path must be absolute`);
  }
  const propagation = value("bind-propagation")?.toLowerCase() ?? "rprivate";
  if (!/^r?(private|slave|shared)$/.test(propagation)) {
    throw invalid("bind", `invalid propagation mode: ${propagation}`);
  }
  const recursion = value("bind-recursive") ?? "enabled";
  checkRecursion(recursion, readonly, value("bind-propagation"));
  return {
    type: "bind",
    source: resolveSource(source),
    destination: cleanPath(target),
    readonly,
    makesSource: value("bind-create-src") === "true",
    recursive: recursion !== "disabled" && value("bind-nonrecursive") !== "true",
    recursiveReadonly: recursion !== "writable",
    propagation: propagationOf(propagation),
    flags: [],
    chown,
    mode: "",
    origin: "mount",
  };
}

function checkRecursion(recursion: string, readonly: boolean, propagation: string | undefined): void {
  if (!["enabled", "disabled", "writable", "readonly"].includes(recursion)) {
    throw new UsageError(
      `invalid value for bind-recursive: ${recursion} (must be "enabled", "disabled", "writable", or "readonly")`,
    );
  }
  if (["writable", "readonly"].includes(recursion) && !readonly) {
    throw new UsageError(`option 'bind-recursive=${recursion}' requires 'readonly' to be specified in conjunction`);
  }
  if (recursion === "readonly" && propagation !== "rprivate") {
    throw new UsageError(
      "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
    );
  }
}

function toVolume({ source, target, readonly, chown, subpath, value, labels }: MountFields): VolumeMount {
  if (source) checkVolumeName(source);
  if (!source && subpath !== undefined) throw invalid("volume", "must not set Subpath when using anonymous volumes");
  if (subpath !== undefined) checkSubpath("volume", subpath);
  if (!source && readonly) throw invalid("volume", "must not set ReadOnly mode when using anonymous volumes");
  return {
    type: "volume",
    name: source,
    destination: cleanPath(target),
    readonly,
    anonymous: source === "",
    copy: value("volume-nocopy") !== "true",
    ...(subpath !== undefined && { subpath }),
    ...(Object.keys(labels).length > 0 && { labels }),
    flags: [],
    chown,
    mode: "",
    origin: "mount",
  };
}

/** Go's filepath.IsLocal: it can't lead out, whatever lies there. */
function checkSubpath(type: string, subpath: string): void {
  const clean = cleanPath(subpath);
  if (!subpath.startsWith("/") && clean !== ".." && !clean.startsWith("../")) return;
  throw invalid(type, `subpath must be a relative path within the ${type}`);
}

function toTmpfs({ target, readonly, value }: MountFields): TmpfsMount {
  const [size, mode] = [value("tmpfs-size"), value("tmpfs-mode")];
  const options = ["nosuid", "nodev", "noexec"];
  if (size !== undefined) options.push(`size=${parseTmpfsSize(size)}`);
  if (mode !== undefined && !/^[0-7]{1,4}$/.test(mode)) {
    throw new UsageError(`invalid value for tmpfs-mode: ${mode}`);
  }
  if (mode !== undefined) options.push(`mode=${mode}`);
  if (readonly) options.push("ro");
  return { type: "tmpfs", destination: cleanPath(target), readonly, options, copy: false, origin: "mount" };
}

function parseTmpfsSize(text: string): number {
  try {
    return parseBytes(text);
  } catch (cause) {
    throw new UsageError(`invalid value for tmpfs-size: ${text}`, { cause });
  }
}

function toImage({ source, target, subpath, value }: MountFields): ImageMount {
  if (!source) throw invalid("image", "field Source must not be empty");
  if (value("readonly") === "false" || value("rw") === "true") {
    throw new UsageError("an image can be mounted read-only only", { hint: "a volume can hold a copy of its files" });
  }
  if (subpath !== undefined) checkSubpath("image", subpath);
  const destination = cleanPath(target);
  const image = { reference: source, id: "", layers: [] };
  return { type: "image", ...image, destination, readonly: true, ...(subpath && { subpath }), origin: "mount" };
}
