/** `-v`: `[source:]destination[:options]`, a folder of the host or a volume. Rules and texts are Docker's (moby, linux_parser.go). */

import { UsageError } from "../errors.ts";
import type { BindMount, MountFlag, Propagation, VolumeMount } from "../storage/container-mount.ts";
import { checkVolumeName } from "../storage/volumes.ts";
import { checkTarget, cleanPath, propagationOf, resolveSource } from "./paths.ts";

/** Words of which one of a kind may be given. Labels of SELinux do nothing: pod's containers run with the caller's, which opens what is the caller's. */
const kinds: [string, RegExp][] = [
  ["access", /^(ro|rw)$/],
  ["label", /^[zZ]$/],
  ["propagation", /^r?(private|slave|shared)$/],
  ["copy", /^(no)?copy$/],
  ["consistency", /^(consistent|cached|delegated)$/],
  ["owner", /^U$/],
  ["recursion", /^r?bind$/],
  ["exec", /^(no)?exec$/],
  ["suid", /^(no)?suid$/],
  ["dev", /^(no)?dev$/],
];

/** A volume's name is empty where it gets one of pod's. Throws UsageError. */
export function parseVolume(text: string): BindMount | VolumeMount {
  const sections = text.split(":");
  if (text === "") throw new UsageError("invalid empty volume spec");
  if (sections.includes("")) throw new UsageError(`invalid spec: ${text}: empty section between colons`);
  if (sections.length > 3) throw new UsageError(`invalid spec: ${text}: too many colons`);
  const [first, second, mode = ""] = sections as [string, string?, string?];
  if (second === undefined) {
    checkTarget("volume", first);
    return toVolume("", first, "");
  }
  const invalid = `invalid volume specification: '${text}'`;
  if (sections.length === 2 && isMode(second)) throw new UsageError(invalid);
  if (!isMode(mode)) throw new UsageError(`invalid mode: ${mode}`);
  const isBind = /^([./]|~(\/|$))/.test(first);
  try {
    checkTarget(isBind ? "bind" : "volume", second);
    checkMode(isBind, mode);
  } catch (cause) {
    throw cause instanceof UsageError ? new UsageError(invalid, { cause, hint: cause.hint }) : cause;
  }
  return isBind ? toBind(resolveSource(first), second, mode) : toVolume(checkVolumeName(first), second, mode);
}

function isMode(text: string): boolean {
  const words = wordsOf(text);
  const found = words.map((word) => kinds.findIndex(([, pattern]) => pattern.test(word)));
  return !found.includes(-1) && new Set(found).size === found.length;
}

function wordsOf(mode: string): string[] {
  return mode === "" ? [] : mode.split(",");
}

function wordOf(mode: string, kind: string): string | undefined {
  const [, pattern] = kinds.find(([name]) => name === kind)!;
  return wordsOf(mode).find((word) => pattern.test(word));
}

function checkMode(isBind: boolean, mode: string): void {
  const [foreign, field] = isBind ? ["copy", "VolumeOptions"] : ["propagation", "BindOptions"];
  if (wordOf(mode, foreign!) === undefined) return;
  const type = isBind ? "bind" : "volume";
  throw new UsageError(`invalid mount config for type "${type}": field ${field} must not be specified`);
}

function toBind(source: string, destination: string, mode: string): BindMount {
  return {
    type: "bind",
    source,
    destination: cleanPath(destination),
    readonly: wordOf(mode, "access") === "ro",
    makesSource: true,
    recursive: wordOf(mode, "recursion") !== "bind",
    recursiveReadonly: true,
    propagation: propagationOf((wordOf(mode, "propagation") ?? "rprivate") as Propagation),
    flags: flagsOf(mode),
    chown: wordOf(mode, "owner") !== undefined,
    mode,
    origin: "volume",
  };
}

function toVolume(name: string, destination: string, mode: string): VolumeMount {
  return {
    type: "volume",
    name,
    destination: cleanPath(destination),
    readonly: wordOf(mode, "access") === "ro",
    anonymous: name === "",
    copy: wordOf(mode, "copy") !== "nocopy",
    flags: flagsOf(mode),
    chown: wordOf(mode, "owner") !== undefined,
    mode,
    origin: "volume",
  };
}

function flagsOf(mode: string): MountFlag[] {
  return (["nosuid", "nodev", "noexec"] as const).filter((flag) => wordsOf(mode).includes(flag));
}

/** `--volumes-from`: `CONTAINER[:options]`. Throws UsageError. */
export function parseVolumesFrom(text: string): { container: string; readonly: boolean } {
  if (text === "") throw new UsageError("volumes-from specification cannot be an empty string");
  const at = text.indexOf(":");
  const mode = at === -1 ? "" : text.slice(at + 1);
  const isInherited = ["propagation", "copy"].every((kind) => wordOf(mode, kind) === undefined);
  if (!isMode(mode) || !isInherited) throw new UsageError(`invalid mode: ${mode}`);
  return { container: at === -1 ? text : text.slice(0, at), readonly: wordOf(mode, "access") === "ro" };
}
