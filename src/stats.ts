/**
 * What containers use, summed over their processes in proc(5), since they have no control group of their own. What a
 * process has read and written goes from the sum when it ends; its processor time stays with who waited for it.
 */

import { totalmem } from "node:os";
import { hasCode } from "./errors.ts";
import { processesWith } from "./ns/processes.ts";
import { readFileSync } from "./ns/sys/fs.ts";
import type { Container } from "./storage/containers.ts";

export interface ContainerStats {
  container: Container;
  /** Of one processor: 200 means that two were busy. */
  cpuPercent: number;
  memoryBytes: number;
  /** The host's memory: there is no limit; 0 where nothing runs. */
  memoryLimitBytes: number;
  receivedBytes: number;
  sentBytes: number;
  readBytes: number;
  writtenBytes: number;
  /** Processes and their threads. */
  tasks: number;
}

interface Sample extends ContainerStats {
  cpuSeconds: number;
  atMs: number;
}

/** Each call tells what was used since the one before; the first since the containers' processes began. In the user's namespace. */
export class StatsReader {
  #before = new Map<string, Sample>();

  read(containers: Container[]): ContainerStats[] {
    const samples = containers.map(sample);
    for (const now of samples) {
      const before = this.#before.get(now.container.record.id);
      if (before) now.cpuPercent = percentBetween(before, now);
    }
    this.#before = new Map(samples.map((each) => [each.container.record.id, each]));
    return samples;
  }
}

function percentBetween(before: Sample, now: Sample): number {
  return Math.max(0, ((now.cpuSeconds - before.cpuSeconds) * 100_000) / (now.atMs - before.atMs || 1));
}

function sample(container: Container): Sample {
  const { state, record } = container;
  const pids = state.status === "running" && state.init ? processesWith(state.init.pid) : [];
  const processes = pids.map(readProcess).filter((found) => found !== undefined);
  const sum = (field: keyof ProcessUse) => processes.reduce((total, process) => total + process[field], 0);
  const isOwnNetwork = pids.length > 0 && record.network.mode !== "host";
  return {
    container,
    cpuPercent: 0,
    cpuSeconds: sum("cpuSeconds"),
    atMs: performance.now(),
    memoryBytes: sum("memoryBytes"),
    memoryLimitBytes: pids.length ? totalmem() : 0,
    ...(isOwnNetwork ? readNetwork(pids[0]!) : { receivedBytes: 0, sentBytes: 0 }),
    readBytes: sum("readBytes"),
    writtenBytes: sum("writtenBytes"),
    tasks: sum("tasks"),
  };
}

interface ProcessUse {
  cpuSeconds: number;
  memoryBytes: number;
  readBytes: number;
  writtenBytes: number;
  tasks: number;
}

const ticksPerSecond = 100; // USER_HZ, which proc(5) counts in

function readProcess(pid: number): ProcessUse | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number); // from field 3 on
    const ticks = fields[11]! + fields[12]! + fields[13]! + fields[14]!; // its own, and of children that it waited for
    const io = readFileSync(`/proc/${pid}/io`, "utf8");
    return {
      cpuSeconds: ticks / ticksPerSecond,
      memoryBytes: numberIn(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"), "Pss") * 1024, // shared pages in parts
      readBytes: numberIn(io, "read_bytes"),
      writtenBytes: numberIn(io, "write_bytes"),
      tasks: fields[17]!,
    };
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined; // it has just ended
    throw error;
  }
}

function numberIn(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(text)?.[1] ?? 0);
}

/** proc(5), net/dev, as the process sees it: eight numbers of what was received, then those of what was sent, for each interface. */
function readNetwork(pid: number): { receivedBytes: number; sentBytes: number } {
  let text = "";
  try {
    text = readFileSync(`/proc/${pid}/net/dev`, "utf8");
  } catch (error) {
    if (!hasCode(error, "ENOENT", "ESRCH", "EINVAL")) throw error;
  }
  const interfaces = [...text.matchAll(/^\s*(\S+):\s*(.+)$/gm)].filter(([, name]) => name !== "lo");
  const total = (column: number) =>
    interfaces.reduce((sum, [, , numbers]) => sum + Number(numbers!.split(/\s+/)[column]), 0);
  return { receivedBytes: total(0), sentBytes: total(8) };
}
