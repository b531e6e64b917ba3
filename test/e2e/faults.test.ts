/**
 * SIGKILL of the command, the monitor, the first process or everything of the user at a random moment of each command
 * that changes a container's life; kill.test.ts has `run`. Afterwards what the next commands say is
 * true, `start` and `rm` work, and nothing is left. POD_TEST_SEED repeats a run, POD_TEST_ROUNDS lengthens it.
 */

import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Family, isRunning } from "./family.ts";
import { type Host, onBothDrivers } from "./harness.ts";
import { randomNumbers, seed } from "./random.ts";
import { exitCode } from "./terminal.ts";

const commands: Record<string, string[]> = {
  create: [],
  start: ["start"],
  exec: ["exec"],
  stop: ["stop", "-t", "1"],
  restart: ["restart", "-t", "1"],
  "rm -f": ["rm", "-f"],
  pause: ["pause"],
  unpause: ["unpause"],
  kill: ["kill"],
  rename: ["rename"],
  update: ["update", "--restart", "on-failure:3"],
};
/** After these nothing of the container runs. */
const ends = ["stop", "rm -f", "kill"];
const victims = ["command", "monitor", "init", "everything"] as const;
const variants = [[], ["--init"], ["--restart", "always"], ["--init", "--restart", "always"]];
const rounds = Number(process.env.POD_TEST_ROUNDS || Object.keys(commands).length * victims.length);

onBothDrivers("SIGKILL in a container's life", (host) => {
  const next = randomNumbers(seed);

  test(
    `${rounds} times at random moments, seed ${seed}`,
    async () => {
      await host.must("run", "--rm", "--network", "none", "starter", "true");
      const names = Object.keys(commands);
      const failures: string[] = [];
      for (let number = 0; number < rounds; number++) {
        const round = {
          name: `f${number}x`,
          command: names[number % names.length]!,
          victim: victims[Math.floor(number / names.length) % victims.length]!,
          variant: variants[Math.floor(next() * variants.length)]!,
          delayMs: Math.floor(next() ** 2 * 150),
        };
        try {
          await playRound(host, round);
        } catch (error) {
          failures.push(`${JSON.stringify(round)}: ${(error as Error).message}`);
          await host.pod("rm", "-f", round.name);
          await host.pod("rm", "-f", `${round.name}y`);
        }
      }
      expect(failures).toEqual([]);
    },
    rounds * 5000,
  );
});

interface Round {
  name: string;
  command: string;
  victim: (typeof victims)[number];
  /** Options of `create`. */
  variant: string[];
  /** From the command's begin to the kill. */
  delayMs: number;
}

async function playRound(host: Host, { name, command, victim, variant, delayMs }: Round): Promise<void> {
  const script = `trap 'exit 3' TERM; sleep 60 & wait $!; ${markOf(name)}`;
  const create = ["create", "--name", name, "--network", "none", ...variant, "starter", "sh", "-c", script];
  if (command !== "create") await host.must(...create);
  if (command !== "create" && command !== "start") await host.must("start", name);
  if (command === "unpause") await host.must("pause", name);

  const more: Record<string, string[]> = { exec: ["sleep", "0.2"], rename: [`${name}y`] };
  const operands = [name, ...(more[command] ?? [])];
  const child = host.spawn(...(command === "create" ? create : [...commands[command]!, ...operands]));
  const family = new Family(child.pid, name);
  for (const until = performance.now() + delayMs; performance.now() < until; await Bun.sleep(1)) family.look("init");
  for (const pid of chosen(host, victim, family)) killHard(pid);
  const stderr = await child.stderr.text();
  await child.exited;
  const code = exitCode(child)!;
  if (code !== 0 && code !== 137) expect(stderr).not.toBe("");

  if (code === 0 && ends.includes(command)) {
    await Bun.sleep(200); // its restart policy would have started it again by then
    expect(programs(name)).toEqual([]);
  }
  const found = await expectTruth(host, name);
  if (found) {
    if (found.status.endsWith("(Paused)")) await host.must("unpause", found.name);
    await host.must("start", found.name);
    expect(await host.must("ps", "--format", "{{.Names}} {{.State}}")).toMatch(
      new RegExp(`^${found.name} (running|restarting)$`),
    );
  }
  const removed = await host.pod("rm", "-f", found?.name ?? name);
  if (found) expect(removed).toMatchObject({ code: 0, stderr: "" });
  expect(await host.must("ps", "-aq")).toBe("");
  expect(programs(name)).toEqual([]);
  expect(await host.leftoversWithoutImages()).toEqual([]);
}

/** The victim's processes; of a monitor and its init those that the command has started, and those recorded. */
function chosen(host: Host, victim: Round["victim"], family: Family): number[] {
  const command = family.look("pod");
  if (victim === "command") return command ? [command] : [];
  const recorded = (role: "monitor" | "init") => [family.look(role), ...states(host).map((state) => state[role]?.pid)];
  const everything = () => [...host.processes(), ...recorded("init")];
  const pids = victim === "everything" ? everything() : recorded(victim);
  return pids.filter((pid) => pid !== undefined && isRunning(pid)) as number[];
}

function states(host: Host): { monitor?: { pid: number }; init?: { pid: number } }[] {
  const folder = join(host.dataDir, "containers");
  return readdirSync(folder).map((id) => {
    try {
      return JSON.parse(readFileSync(join(folder, id, "state.json"), "utf8"));
    } catch {
      return {}; // it has just been removed
    }
  });
}

function killHard(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}

/** What `ps` and `inspect` say becomes true within seconds. Returns what there is of the container, which may have been renamed. */
async function expectTruth(host: Host, name: string): Promise<{ name: string; status: string } | undefined> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const line = await host.must("ps", "-a", "--filter", `name=^${name}y?$`, "--format", "{{.Names}} {{.Status}}");
    const [, itsName = name, status = ""] = /^(\S+) (.*)$/.exec(line) ?? [];
    const pid = Number((await host.pod("inspect", "--format", "{{.State.Pid}}", itsName)).stdout);
    const runs = programs(name).length > 0;
    const isTrue = status.startsWith("Up") ? runs && isRunning(pid) : !runs && pid === 0;
    if (isTrue) return status ? { name: itsName, status } : undefined;
    if (performance.now() > deadline) throw new Error(`ps: "${status}", pid ${pid}, programs ${programs(name)}`);
    await Bun.sleep(50);
  }
}

/** Those of the container, by the name in their command line. */
function programs(name: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || !isRunning(Number(pid))) return false;
    const [program, ...words] = commandLine(pid);
    return program === "sh" && words.some((word) => word.endsWith(markOf(name)));
  });
}

/** What tells its program from those of other runs of these tests. */
function markOf(name: string): string {
  return `: ${name} ${process.pid}`;
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}
