/** Times programs against each other: one run of each in turn, so that a busy moment hits all of them alike. */

import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One side of a comparison. `prepare` runs before each timed run and is not timed. */
export interface Side {
  run: string[] | (() => Promise<void>);
  prepare?: () => void;
}

/** Median milliseconds by the names of `sides`. The first round warms caches and doesn't count. */
export async function compare<Name extends string>(
  rounds: number,
  sides: Record<Name, Side>,
): Promise<Record<Name, number>> {
  const names = Object.keys(sides) as Name[];
  const times = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, number[]>;
  for (let round = 0; round <= rounds; round++) {
    for (const name of names) {
      const { run, prepare } = sides[name];
      prepare?.();
      const start = performance.now();
      await (typeof run === "function" ? run() : succeed(run));
      if (round > 0) times[name].push(performance.now() - start);
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(times[name])])) as Record<Name, number>;
}

/** Medians of figures that the sides find themselves, position by position, by the names of `sides`, which take turns. */
export async function alternate<Name extends string>(
  rounds: number,
  sides: Record<Name, () => Promise<number[]>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(sides) as Name[];
  const figures = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, number[][]>;
  for (let round = 0; round < rounds; round++) {
    for (const name of names) figures[name].push(await sides[name]());
  }
  const medians = (rows: number[][]) => rows[0]!.map((_, index) => median(rows.map((row) => row[index]!)));
  return Object.fromEntries(names.map((name) => [name, medians(figures[name])])) as Record<Name, number[]>;
}

function succeed(command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}\n${stderr}`);
}

/**
 * What one run takes of the machine: CPU seconds, with the children it waited for, by time(1); and the most memory in
 * bytes that all of its processes have at one time, looked at every 20 ms.
 */
export async function usage({ run, prepare }: { run: string[]; prepare?: () => void }): Promise<{
  cpuSeconds: number;
  peakBytes: number;
}> {
  prepare?.();
  const file = join(tmpdir(), `usage-${process.pid}`);
  const command = ["time", "--format=%U %S", `--output=${file}`, ...run];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  let peakBytes = 0;
  while (child.exitCode === null && child.signalCode === null) {
    const now = descendants(child.pid).reduce((sum, pid) => sum + memoryOf(pid), 0);
    peakBytes = Math.max(peakBytes, now);
    await Bun.sleep(20);
  }
  const [user = 0, system = 0] = readFileSync(file, "utf8").trim().split("\n").at(-1)!.split(" ").map(Number);
  rmSync(file);
  if (child.exitCode !== 0) throw new Error(`${run.join(" ")}: exit code ${child.exitCode}`);
  return { cpuSeconds: user + system, peakBytes };
}

function descendants(pid: number): number[] {
  const children = textOf(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

/** Bytes; of pages that processes share each has its part (proc(5), smaps_rollup), unless only what is resident may be read. */
function memoryOf(pid: number): number {
  const [, share] = /^Pss: +(\d+) kB$/m.exec(textOf(`/proc/${pid}/smaps_rollup`)) ?? [];
  const [, resident] = /^VmRSS:\s+(\d+) kB$/m.exec(textOf(`/proc/${pid}/status`)) ?? [];
  return Number(share ?? resident ?? 0) * 1024;
}

/** Empty where the process has ended, or shows that to others only. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Starts `count` of the command at once; fails unless all succeed. */
export async function atOnce(count: number, command: string[]): Promise<void> {
  const start = async () => {
    const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    const text = await new Response(child.stderr).text();
    return (await child.exited) === 0 ? [] : [text];
  };
  const bad = (await Promise.all(Array.from({ length: count }, start))).flat();
  if (bad.length > 0) throw new Error(`${command.join(" ")}: ${bad.length} of ${count} failed\n${bad.join("")}`);
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** stdout of a command that has to succeed. */
export function output(...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stdin: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}\n${stderr}`);
  return stdout.toString().trim();
}

/** Runs it whatever comes of it. */
export function quietly(...command: string[]): void {
  Bun.spawnSync(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
}

/** Private memory of these processes together: proc(5) smaps_rollup, read in the tool's user namespace, since one that is not dumpable shows it only to root there. */
export function privateBytes(tool: (...args: string[]) => string[], ...pids: number[]): number {
  const rollup = output(...tool("unshare", "cat", ...pids.map((pid) => `/proc/${pid}/smaps_rollup`)));
  const lines = [...rollup.matchAll(/^Private_(?:Clean|Dirty|Hugetlb): +(\d+) kB$/gm)];
  if (lines.length === 0) throw new Error(`/proc/${pids[0]}/smaps_rollup: no private memory in it`);
  return lines.reduce((total, [, kilobytes]) => total + Number(kilobytes) * 1024, 0);
}
