/** Somebody sets the clock while containers run: libfaketime gives pod, not the containers, another one, whose time is in a file. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, Host } from "./harness.ts";

setDefaultTimeout(60_000);
const host = new Host();
beforeAll(() => host.open());
afterAll(() => host.close(), 60_000);

const day = 24 * 3600;
const library = [...new Bun.Glob("/usr/lib/*/faketime/libfaketime.so.1").scanSync("/")][0]!;
const clockFile = () => join(host.work, "clock");
const env = () => ({
  LD_PRELOAD: library,
  FAKETIME_TIMESTAMP_FILE: clockFile(),
  FAKETIME_NO_CACHE: "1",
  FAKETIME_DONT_FAKE_MONOTONIC: "1",
  FAKETIME_DISABLE_SHM: "1",
});

function setClock(seconds: number): void {
  writeFileSync(`${clockFile()}.new`, `${seconds < 0 ? "" : "+"}${seconds}\n`);
  renameSync(`${clockFile()}.new`, clockFile());
}

async function pod(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await host.podWith({ env: env() }, ...args);
  if (code !== 0) throw new Error(`pod ${args.join(" ")}: exit code ${code}\n${stderr}`);
  return stdout.trim();
}

test("a clock that is set on and back by days breaks no wait, stop, health check, restart policy, log or events", async () => {
  setClock(0);
  const start = (name: string, script: string, ...options: string[]) =>
    pod("run", "-d", "--name", name, "--network", "none", ...options, "starter", "sh", "-c", script);
  const check = ["--health-interval", "1s", "--health-timeout", "500ms", "--health-retries", "1"];
  await start("counting", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.5; done");
  await start("healthy", "sleep 600", "--health-cmd", "true", ...check);
  await start("sick", "sleep 600", "--health-cmd", "sleep 60", ...check);
  await start("deaf", "trap '' TERM; while :; do sleep 1; done");
  await start("again", "sleep 0.3; exit 1", "--restart", "always");
  await start("short", "sleep 5");
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const logs = Bun.spawn([binary, "logs", "-f", "counting"], { env: { ...host.env, ...env() }, stdout: "pipe" });
  const waited = pod("wait", "short").then(seconds);
  await Bun.sleep(500);
  setClock(day);
  expect(await pod("ps", "--filter", "name=counting", "--format", "{{.Status}}")).toBe("Up 24 hours");
  const stopped = pod("stop", "-t", "2", "deaf").then(seconds);
  await Bun.sleep(700);
  setClock(-day);
  expect(await pod("ps", "--filter", "name=counting", "--format", "{{.Status}}")).toBe("Up Less than a second");
  expect(await stopped).toBeWithin(2, 4);
  expect(await waited).toBeWithin(4, 7);
  setClock(0);
  expect(await pod("inspect", "--format", "{{.State.Health.Status}}", "sick")).toBe("unhealthy");
  expect(await pod("inspect", "--format", "{{.State.Health.Status}} {{len .State.Health.Log}}", "healthy")).toMatch(
    /^healthy [345]$/,
  );
  expect(Number(await pod("inspect", "--format", "{{.RestartCount}}", "again"))).toBeWithin(2, 8);
  logs.kill();
  const lines = (await logs.stdout.text()).trim().split("\n");
  expect(lines.length).toBeGreaterThan(7);
  expect(lines).toEqual(lines.map((_, index) => String(index)));
  const told = (name: string) =>
    pod("events", "--since", "1h", "--until", "0s", "-f", `container=${name}`, "--format", "{{.Action}}");
  expect(await told("counting")).toBe("create\nstart");
  expect(await told("short")).not.toContain("die"); // a day ago, by what the clock said
  await host.must("rename", "counting", "counted");
  expect(await told("counted")).toBe("rename"); // those of tomorrow do not hide it
  await pod("rm", "-f", "counted", "healthy", "sick", "deaf", "again", "short");
  expect(await host.leftoversWithoutImages()).toEqual([]);
});
