/** `--tmpfs`: `destination[:options]`. */

import { isAbsolute } from "node:path";
import { UsageError } from "../errors.ts";
import type { TmpfsMount } from "../storage/container-mount.ts";
import { checkTarget, cleanPath } from "./paths.ts";

const known =
  /^(ro|rw|(no)?(suid|dev|exec)|relatime|strictatime|noatime|mode=[0-7]{1,4}|(size|nr_inodes)=\d+[kmg]?%?|(uid|gid)=\d+)$/i;

/** Docker's defaults: closed for devices, setuid and programs, open for everybody to write. Throws UsageError. */
export function parseTmpfs(text: string): TmpfsMount {
  const at = text.indexOf(":");
  const destination = at === -1 ? text : text.slice(0, at);
  const given = at === -1 || at === text.length - 1 ? [] : text.slice(at + 1).split(",");
  if (!isAbsolute(destination)) throw new UsageError(`invalid tmpfs mount '${text}': the path must be absolute`);
  checkTarget("tmpfs", destination);
  const copy = given.includes("tmpcopyup"); // podman's
  const words = given.filter((option) => !["tmpcopyup", "notmpcopyup"].includes(option));
  const unknown = words.find((option) => !known.test(option));
  if (unknown !== undefined) throw new UsageError(`invalid tmpfs option ["${unknown}"]`);
  const defaults = ["nosuid", "nodev", "noexec"].filter((option) => !words.includes(option.slice(2)));
  const options = [...new Set([...defaults, ...words])];
  const readonly = words.includes("ro");
  return { type: "tmpfs", destination: cleanPath(destination), readonly, options, copy, origin: "tmpfs" };
}
