/** `--userns keep-id`: the container's passwd and group files get a line for the caller, where they have none. As podman's. */

import { config } from "./config.ts";
import type { KeptIds } from "./container-ids.ts";
import { O_APPEND, O_DIRECTORY, O_PATH, O_WRONLY, RESOLVE_IN_ROOT } from "./ns/constants.ts";
import { readInRoot } from "./ns/program.ts";
import { resolveBytes, toByteString } from "./ns/sys/bytes.ts";
import { writeAll } from "./ns/sys/descriptor.ts";
import { close, open, readText } from "./ns/sys/file.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";

/** In the root file system that is mounted at `rootfs`, before anything runs in it. */
export function addAccount(rootfs: string, { uid, gid }: KeptIds, home: string): void {
  const [passwd, group] = ["/etc/passwd", "/etc/group"].map((path) => readInRoot(path, rootfs));
  if (passwd && !hasId(passwd, uid)) {
    append(
      rootfs,
      "/etc/passwd",
      passwd,
      `${freeName(passwd, uid)}:*:${uid}:${gid}::${/[:\n]/.test(home) ? "/" : home}:/bin/sh`,
    );
  }
  if (group && !hasId(group, gid)) append(rootfs, "/etc/group", group, `${freeName(group, gid)}:x:${gid}:`);
}

/** passwd(5), group(5): the third field. */
function hasId(text: string, id: number): boolean {
  return text.split("\n").some((line) => line.split(":")[2] === String(id));
}

/** The caller's own name, unless somebody in the image has it. */
function freeName(text: string, id: number): string {
  const name = callerName();
  const isTaken = text.split("\n").some((line) => line.split(":")[0] === name);
  return name === undefined || isTaken ? `user${id}` : name;
}

function callerName(): string | undefined {
  let passwd = "";
  unlessErrno(["ENOENT", "EACCES"], () => {
    passwd = readText("/etc/passwd");
  });
  const line = passwd.split("\n").find((each) => each.split(":")[2] === String(config.uid));
  const name = line?.split(":")[0] ?? config.variable("USER") ?? "";
  return /^[a-z_][a-z0-9_.-]*$/i.test(name) ? name : undefined;
}

function append(rootfs: string, path: string, text: string, line: string): void {
  const root = open(rootfs, O_PATH | O_DIRECTORY);
  try {
    const fd = resolveBytes(root, toByteString(path), O_WRONLY | O_APPEND, RESOLVE_IN_ROOT);
    if (fd === undefined) return;
    writeAll(fd, Buffer.from(`${text.endsWith("\n") ? "" : "\n"}${line}\n`));
    close(fd);
  } finally {
    close(root);
  }
}
