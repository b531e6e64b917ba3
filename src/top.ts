/** `top`: what ps(1) of the host shows of a container's processes, as Docker does it; users are named as in the container's ids. */

import { ConflictError, PodError, UsageError } from "./errors.ts";
import { processesWith } from "./ns/processes.ts";
import { findContainer } from "./storage/containers.ts";

export interface ProcessTable {
  titles: string[];
  rows: string[][];
}

/** `args` are those of ps, `-ef` where there are none. In the user's namespace. */
export function topOfContainer(name: string, args: string[]): ProcessTable {
  const { record, state } = findContainer(name);
  if (state.status !== "running" || !state.init) throw new ConflictError(`container ${record.id} is not running`);
  const program = Bun.which("ps");
  if (!program)
    throw new PodError("ps is not installed", { hint: "install it (Debian, Ubuntu: sudo apt install procps)" });
  const { stdout, stderr, exitCode } = Bun.spawnSync([program, ...(args.length ? args : ["-ef"])]);
  if (exitCode !== 0) throw new UsageError(`ps: ${stderr.toString().trim().split("\n")[0]}`);
  return select(stdout.toString(), new Set(processesWith(state.init.pid)));
}

/** The lines of these processes; what is in the last column may hold blanks. */
export function select(text: string, pids: Set<number>): ProcessTable {
  const [head = "", ...lines] = text.trimEnd().split("\n");
  const titles = head.trim().split(/\s+/);
  const column = titles.indexOf("PID");
  if (column === -1) throw new UsageError("Couldn't find PID field in ps output");
  const rows = lines.map((line) => {
    const fields = line.trim().split(/\s+/);
    return [...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(" ")];
  });
  return { titles, rows: rows.filter((row) => pids.has(Number(row[column]))) };
}
