/** The processes of one `pod run`, found by walking down from the command: proc(5). */

import { readdirSync, readFileSync } from "node:fs";

export type Role = "pod" | "monitor" | "init" | "fuse-overlayfs" | "slirp4netns";

/** Keeps sight of the command's processes also when their parents have ended: `look` often. */
export class Family {
  private readonly members = new Map<number, Role>();

  /** `program`: a word of the container's command line, by which its first process is known once it has become that. */
  constructor(
    podPid: number,
    private readonly program: string,
  ) {
    this.members.set(podPid, "pod");
  }

  /** The process that has this role now. */
  look(role: Role): number | undefined {
    for (const { pid, parent } of table()) {
      const parentRole = this.members.get(parent);
      if (!parentRole || this.members.has(pid)) continue;
      const found = this.roleOf(pid);
      if (found && found !== parentRole) this.members.set(pid, found); // before its execve(2) a child looks like its parent
    }
    return [...this.members].findLast(([pid, its]) => its === role && isRunning(pid))?.[0];
  }

  /** Those that still run. */
  living(): string[] {
    this.look("init");
    return [...this.members].filter(([pid]) => isRunning(pid)).map(([pid, role]) => `${role} ${pid}`);
  }

  private roleOf(pid: number): Role | undefined {
    const [program = "", ...rest] = read(`/proc/${pid}/cmdline`)?.split("\0") ?? [];
    if (program === "pod monitor") return "monitor";
    if (program === "pod init") return "init";
    if (!program.endsWith("/pod") && rest.some((word) => word.includes(this.program))) return "init";
    if (program.endsWith("/fuse-overlayfs")) return "fuse-overlayfs";
    if (program.endsWith("/slirp4netns")) return "slirp4netns";
    return undefined;
  }
}

/** A zombie does not. */
export function isRunning(pid: number): boolean {
  const fields = statFields(pid);
  return fields !== undefined && fields[0] !== "Z" && fields[0] !== "X";
}

function* table(): Generator<{ pid: number; parent: number }> {
  for (const name of readdirSync("/proc")) {
    const fields = /^\d+$/.test(name) ? statFields(Number(name)) : undefined;
    if (fields) yield { pid: Number(name), parent: Number(fields[1]) };
  }
}

/** proc(5) stat from the state on. */
function statFields(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(")") + 2).split(" ");
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
