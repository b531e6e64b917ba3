import { beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { onBothDrivers } from "./harness.ts";

onBothDrivers("health checks", (host) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));

  const start = (name: string, command: string, script: string, ...options: string[]) =>
    host.must(
      "run",
      "-d",
      "--name",
      name,
      "--network",
      "none",
      "--health-cmd",
      command,
      "--health-interval",
      "100ms",
      ...options,
      "starter",
      "sh",
      "-c",
      script,
    );
  const inspect = (name: string, template: string) => host.must("inspect", "-f", template, name);
  /** Until it says so. */
  const until = async (name: string, template: string, wanted: string | RegExp) => {
    const pattern = typeof wanted === "string" ? new RegExp(`^${wanted}$`) : wanted;
    for (let i = 0; i < 100 && !pattern.test(await inspect(name, template)); i++) await Bun.sleep(50);
    expect(await inspect(name, template)).toMatch(pattern);
  };
  const status = "{{.State.Health.Status}}";

  test("ps, inspect and events tell what the checks have found", async () => {
    await start(
      "app",
      "cat /ok",
      "sleep 100",
      "--health-retries",
      "2",
      "--health-start-period",
      "30s",
      "--health-start-interval",
      "100ms",
    );
    expect(await host.must("ps", "-f", "name=app", "--format", "{{.Status}}")).toEndWith("(health: starting)");
    await until("app", "{{with .State.Health.Log}}{{with index . 0}}{{.ExitCode}}{{end}}{{end}}", "1");
    await host.must("exec", "app", "sh", "-c", "echo fine >/ok");
    await until("app", status, "healthy");
    expect(await host.must("ps", "-f", "health=healthy", "--format", "{{.Names}} {{.Status}}")).toMatch(
      /^app .*\(healthy\)$/,
    );
    await host.must("exec", "app", "rm", "/ok");
    await until("app", status, "unhealthy");
    expect(Number(await inspect("app", "{{.State.Health.FailingStreak}}"))).toBeGreaterThanOrEqual(2);
    const events = await host.must(
      "events",
      "--since",
      "1m",
      "--until",
      "0s",
      "-f",
      "container=app",
      "--format",
      "{{.Action}}",
    );
    const told = events.split("\n").filter((action) => !action.startsWith("exec_"));
    expect(told).toEqual(["create", "start", "health_status: healthy", "health_status: unhealthy"]);
    await host.must("rm", "-f", "app");
  });

  test("the command has the container's user, environment and directory; its output is kept", async () => {
    await start("who", "id -u; pwd; echo $A", "sleep 100", "-u", "7", "-w", "/tmp", "-e", "A=b");
    await until("who", status, "healthy");
    expect(await inspect("who", "{{with index .State.Health.Log 0}}{{.Output}}{{end}}")).toBe("7\n/tmp\nb\n");
    await host.must("pause", "who");
    await Bun.sleep(200);
    const before = await inspect("who", "{{json .State.Health}}");
    await Bun.sleep(400);
    expect(await inspect("who", "{{json .State.Health}}")).toBe(before); // none while it is paused
    await host.must("rm", "-f", "who");
  });

  test("a check that takes too long is ended, and has failed", async () => {
    await start("slow", "sleep 77", "sleep 100", "--health-timeout", "200ms", "--health-retries", "1");
    await until("slow", status, "unhealthy");
    expect(await inspect("slow", "{{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}")).toBe(
      "-1 Health check exceeded timeout (0.2s)",
    );
    await host.must("pause", "slow"); // no further check
    await Bun.sleep(500);
    expect(await host.must("top", "slow", "-e", "-o", "pid,args")).not.toContain("sleep 77");
    await host.must("rm", "-f", "slow");
  });

  test("a check that can't even be started has failed, and the container goes on", async () => {
    await start("poor", "true", "sleep 600", "--health-retries", "1");
    await until("poor", status, "healthy");
    const id = await inspect("poor", "{{.Id}}");
    const state = JSON.parse(readFileSync(join(host.dataDir, "containers", id, "state.json"), "utf8"));
    const limit = (processes: string) =>
      expect(Bun.spawnSync(["prlimit", `--pid=${state.monitor.pid}`, `--nproc=${processes}:`]).exitCode).toBe(0);
    limit("1");
    await until("poor", status, "unhealthy");
    expect(await inspect("poor", "{{json .State.Health.Log}}")).toContain("EAGAIN");
    expect(await inspect("poor", "{{.State.Status}} {{.State.Pid}}")).toBe(`running ${state.init.pid}`);
    limit("5000");
    await until("poor", status, "healthy");
    await host.must("rm", "-f", "poor");
  });

  test("--health-on-failure: kill, stop, restart", async () => {
    const obedient = "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done";
    for (const [action, end] of Object.entries({ kill: "exited 137", stop: "exited 3" })) {
      await start(action, "false", obedient, "--health-retries", "1", "--health-on-failure", action);
      await until(action, "{{.State.Status}} {{.State.ExitCode}}", end);
    }
    await start("restart", "false", obedient, "--health-retries", "1", "--health-on-failure", "restart");
    await until("restart", "{{.RestartCount}}", /^([2-9]|\d\d+)$/);
    expect(await host.must("logs", "restart")).toStartWith("up\nup");
    await host.must("rm", "-f", "kill", "stop", "restart");
  });

  test("an image's check holds, --no-healthcheck takes it away, and a wrong option is told", async () => {
    await host.must("run", "--name", "base", "--network", "none", "starter", "true");
    await host.must("commit", "-c", "HEALTHCHECK --interval=100ms CMD true", "base", "checked");
    const run = (...args: string[]) => host.pod("run", "-d", "--network", "none", ...args, "checked", "sleep", "100");
    expect(await run("--name", "with")).toMatchObject({ code: 0 });
    await until("with", status, "healthy");
    expect(await run("--name", "without", "--no-healthcheck")).toMatchObject({ code: 0 });
    expect(await inspect("without", "{{json .State.Health}} {{json .Config.Healthcheck}}")).toBe("null null");
    await host.must("rm", "-f", "with", "without");
    const mistakes = {
      "--health-interval=x": 'time: invalid duration "x"',
      "--health-retries=-1": "cannot be negative",
      "--health-timeout=1us": "cannot be less than 1ms",
      "--health-on-failure=cry": "must be one of none, kill, restart, stop",
    };
    for (const [option, text] of Object.entries(mistakes)) {
      expect(await run(option)).toMatchObject({ code: 125, stderr: expect.stringContaining(text) });
    }
    expect(await run("--no-healthcheck", "--health-cmd=x")).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("--no-healthcheck conflicts with --health-* options"),
    });
  });
});
