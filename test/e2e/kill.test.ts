/**
 * SIGKILL of any process of a run at a random moment. Afterwards what the next commands say is true, `rm -f` works, and
 * nothing of the container is left. POD_TEST_SEED repeats a run; the seed is in the test's name.
 */

import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Family, isRunning, type Role } from "./family.ts";
import { type Host, onAllDrivers } from "./harness.ts";
import { randomNumbers, seed } from "./random.ts";
import { exitCode } from "./terminal.ts";

const roundsPerDriver = 28;
const modes = [["--rm"], ["-d"], [], ["-d", "--rm"]];

onAllDrivers("SIGKILL", (host) => {
  const next = randomNumbers(seed);
  const victims: Role[] = ["pod", "monitor", "init", "slirp4netns"];
  if (host.env.STORAGE_DRIVER === "fuse-overlayfs") victims.push("fuse-overlayfs");

  test(`${roundsPerDriver} times at random moments, seed ${seed}`, async () => {
    await host.must("run", "--rm", "--network", "none", "starter", "true");
    const failures: Error[] = [];
    for (let round = 0; round < roundsPerDriver; round++) {
      const victim = victims[round % victims.length]!;
      const mode = modes[Math.floor(round / victims.length) % modes.length]!;
      const network = victim === "slirp4netns" || next() < 0.5 ? "slirp4netns" : "none";
      const delayMs = Math.floor(next() ** 2 * 120);
      await killOne(host, { name: `k${round}`, victim, mode, network, delayMs }).catch((error) => failures.push(error));
    }
    expect(failures.map(({ message, cause }) => `${message}: ${(cause as Error).message}`)).toEqual([]);
  }, 120_000);
});

onAllDrivers("what a killed command was making", (host) => {
  test("is swept by the next one, also by an `rm` that finds nothing", async () => {
    await host.must("run", "--rm", "--network", "none", "starter", "true");
    const tag = `999999-5-${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8)}`; // no such process
    mkdirSync(join(host.dataDir, "tmp", `${tag}-2/upper`), { recursive: true });
    writeFileSync(join(host.dataDir, "locks/leases", `${tag}-1`), "");
    await host.pod("rm", "-f", "nosuch");
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });
});

interface Round {
  name: string;
  victim: Role;
  mode: string[];
  network: string;
  /** Between the victim's appearance and its end. */
  delayMs: number;
}

async function killOne(host: Host, round: Round): Promise<void> {
  const { name, victim, mode, network, delayMs } = round;
  const words: string[] = [];
  try {
    const script = "echo begun; sleep 30; true";
    const options = ["--name", name, "--network", network, ...mode];
    const command = host.spawn("run", ...options, "starter", "sh", "-c", script);
    const family = new Family(command.pid, "begun");
    const output = Promise.all([command.stdout.text(), command.stderr.text()]);
    const killed = await killWhenSeen(family, victim, delayMs);
    words.push(`${victim} ${killed}`);
    if (killed && (victim === "monitor" || victim === "init")) await ended(family, ["init", "monitor"]);
    const goesOn = !mode.includes("-d") && (victim === "slirp4netns" || !killed);
    if (!goesOn) {
      await within(10, "end of the command", () => exitCode(command) !== undefined);
      const [stdout, stderr] = await output;
      words.push(`exit ${exitCode(command)}`, stdout, stderr);
      if (exitCode(command) !== 0 && victim !== "pod" && victim !== "init") expect(stderr).not.toBe("");
    }
    await checkWords(host, family, round, words);
    await within(10, "end of all processes", () => family.living().length === 0);
    expect(await host.leftoversWithoutImages()).toEqual([]);
  } catch (error) {
    throw new Error(`${JSON.stringify(round)}: ${words.join(" | ")}`, { cause: error });
  }
}

/** False where the process never came or had ended. */
async function killWhenSeen(family: Family, victim: Role, delayMs: number): Promise<boolean> {
  const deadline = performance.now() + 5000;
  let pid: number | undefined;
  while (pid === undefined && performance.now() < deadline) {
    pid = family.look(victim);
    if (pid === undefined) await Bun.sleep(1);
  }
  const until = performance.now() + delayMs;
  while (performance.now() < until) {
    family.look("init");
    await Bun.sleep(1);
  }
  if (pid === undefined) return false;
  try {
    process.kill(pid, "SIGKILL");
    return true;
  } catch {
    return false; // it ended by itself
  }
}

async function ended(family: Family, roles: Role[]): Promise<void> {
  await within(10, `end of ${roles}`, () => roles.some((role) => family.look(role) === undefined));
}

/** What `ps`, `inspect` and `logs` say is true, `rm -f` removes, and then nobody knows the container. */
async function checkWords(host: Host, family: Family, { name, mode }: Round, words: string[]): Promise<void> {
  await Bun.sleep(30);
  const ask = () => host.must("ps", "-a", "--filter", `name=^${name}$`, "--format", "{{.Status}}");
  let status = await ask();
  if (status.startsWith("Up")) {
    const { stdout } = await host.pod("inspect", "--format", "{{.State.Pid}}", name); // nothing where it has just gone
    const pid = Number(stdout);
    const deadline = performance.now() + 10_000; // its end is known when the monitor has cleaned up
    while (!isRunning(pid) && status.startsWith("Up") && performance.now() < deadline) status = await ask();
    expect(status.startsWith("Up") && !isRunning(pid)).toBe(false);
  }
  words.push(status);
  if (status.startsWith("Exited")) expect(family.look("init")).toBeUndefined();
  else if (!status.startsWith("Up") && status !== "") expect(status).toBe("Created");
  if (status !== "") {
    const logs = await host.pod("logs", name);
    if (logs.code !== 0) words.push(logs.stderr);
    if (!mode.includes("--rm")) expect(logs.code).toBe(0);
    expect(["", "begun\n"]).toContain(logs.stdout);
  }
  const removed = await host.pod("rm", "-f", name);
  words.push(removed.stderr);
  expect(removed.code).toBe(0);
  expect(await host.must("ps", "-aq", "--filter", `name=^${name}$`)).toBe("");
  const unknown = await host.pod("inspect", name);
  expect(unknown).toMatchObject({ code: 1 });
}

async function within(seconds: number, what: string, isDone: () => boolean): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  while (!isDone()) {
    if (performance.now() > deadline) throw new Error(`no ${what} after ${seconds} s`);
    await Bun.sleep(5);
  }
}
