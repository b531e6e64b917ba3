/** Holds a container's processes still for a moment, by SIGSTOP: without a cgroup of one's own there is no freezer. */

import { readdirSync, readFileSync } from "node:fs";
import { hasCode } from "./errors.ts";
import { pipe, writeAll } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { kill } from "./ns/sys/process.ts";
import { isAlive, type ProcessIdentity } from "./storage/containers.ts";

const SIGSTOP = 19;
const patienceMs = 2000; // a process in an uninterruptible call stops only after it

/** Lets those go on that it is told of, one pid a line, when its input ends: whatever becomes of this process. */
const guard = 'trap "" HUP INT TERM; while read -r pid; do pids="$pids $pid"; done; kill -CONT $pids 2>/dev/null';

/** Stops the process and all below it, new ones too, except those that were stopped before. What comes back lets them go on. */
export function freeze(init: ProcessIdentity): () => Promise<void> {
  const { readFd, writeFd } = pipe();
  const keeper = Bun.spawn(["/bin/sh", "-c", guard], { stdin: readFd, stdout: "ignore", stderr: "ignore" });
  close(readFd);
  const stopped = new Set<number>();
  const until = performance.now() + patienceMs;
  while (isAlive(init) && performance.now() < until) {
    const running = familyOf(init.pid).filter(({ state }) => !/[TtZX]/.test(state));
    if (!running.length) break;
    for (const { pid } of running.filter((each) => !stopped.has(each.pid))) {
      stopped.add(pid);
      writeAll(writeFd, Buffer.from(`${pid}\n`)); // before: should this process end in between, it goes on
      unlessErrno(["ESRCH"], () => kill(pid, SIGSTOP));
    }
    Bun.sleepSync(1);
  }
  return async () => {
    close(writeFd);
    await keeper.exited;
  };
}

interface Process {
  pid: number;
  parent: number;
  /** proc(5): one letter. */
  state: string;
}

function familyOf(root: number): Process[] {
  const children = Map.groupBy(processes(), ({ pid, parent }) => (pid === root ? 0 : parent));
  const family = [...(children.get(0) ?? [])].filter(({ pid }) => pid === root);
  for (const { pid } of family) family.push(...(children.get(pid) ?? []));
  return family;
}

function processes(): Process[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    const stat = readStat(pid);
    if (!stat) return [];
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return [{ pid: Number(pid), parent: Number(parent), state: state! }];
  });
}

function readStat(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
