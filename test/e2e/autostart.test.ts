import { beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { binary, onBothDrivers } from "./harness.ts";

onBothDrivers("system autostart", (host) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));

  test("writes and enables a unit that systemd takes, says what is missing for it, and takes it away again", async () => {
    const units = join(host.home, ".config/systemd/user");
    const { code, stdout, stderr } = await host.pod("system", "autostart");
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${units}/pod.service\n` });
    expect(stderr).toMatch(/ends when you log out\nhint: sudo loginctl enable-linger \S+\n$/);
    const unit = readFileSync(join(units, "pod.service"), "utf8");
    expect(unit).toContain(`ExecStart="${binary}" start --at-boot\n`);
    expect(unit).toContain(`ExecStop="${binary}" stop --at-shutdown\n`);
    expect(unit).toContain(`Environment="XDG_DATA_HOME=${host.env.XDG_DATA_HOME}"\n`);
    expect(readlinkSync(join(units, "default.target.wants/pod.service"))).toBe(join(units, "pod.service"));
    expect(await host.must("system", "autostart")).toBe(join(units, "pod.service"));
    expect(await host.must("system", "autostart", "--remove")).toBe("Removed");
    expect(existsSync(join(units, "pod.service"))).toBe(false);
    expect(await host.must("system", "autostart", "--remove")).toBe("There was no unit");
  });

  test("what ends a session or a machine gives each program its time, and --at-boot starts it again", async () => {
    const script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done";
    const options = ["--network", "none", "--restart", "unless-stopped"];
    for (const name of ["awake", "frozen"]) {
      await host.must("run", "-d", "--name", name, ...options, "starter", "sh", "-c", script);
      while ((await host.must("logs", name)) !== "up") await Bun.sleep(20);
    }
    await host.must("run", "-d", "--name", "waiting", "--restart", "always", "starter", "sh", "-c", "exit 5");
    while (!/^Restarting/.test(await host.must("ps", "-a", "-f", "name=waiting", "--format", "{{.Status}}"))) {
      await Bun.sleep(20);
    }
    await host.must("pause", "frozen");
    // systemd asks a control group; this list may miss one that is just executing itself
    for (let empty = 0, round = 0; empty < 3 && round < 200; round++, await Bun.sleep(50)) {
      const pids = host.processes();
      empty = pids.length ? 0 : empty + 1;
      for (const pid of pids) for (const signal of ["SIGTERM", "SIGHUP"] as const) killIfThere(pid, signal);
    }
    expect(host.processes()).toEqual([]);
    const states = await host.must(
      "inspect",
      "-f",
      "{{.State.Status}} {{.State.ExitCode}}",
      "awake",
      "frozen",
      "waiting",
    );
    expect(states).toBe("exited 3\nexited 3\nexited 5");
    for (const name of ["awake", "frozen"]) expect(await host.must("logs", name)).toBe("up\nbye");
    const started = (await host.must("start", "--at-boot")).split("\n");
    expect(started.toSorted()).toEqual(["awake", "frozen", "waiting"]);
    await host.must("rm", "-f", ...started);
  });

  test("stop --at-shutdown sends the signal that a program wants, once, and --at-boot starts it again", async () => {
    const script = "trap 'echo int' INT; trap 'echo term' TERM; echo up; while :; do sleep 0.1; done";
    const options = ["--network", "none", "--stop-signal", "INT", "--stop-timeout", "1"];
    for (const [name, policy] of [
      ["down", "unless-stopped"],
      ["other", "no"],
    ] as const) {
      await host.must("run", "-d", "--name", name, ...options, "--restart", policy, "starter", "sh", "-c", script);
      while ((await host.must("logs", name)) !== "up") await Bun.sleep(20);
    }
    expect(await host.must("stop", "--at-shutdown")).toBe("down");
    expect(await host.must("logs", "down")).toBe("up\nint");
    expect(await host.must("ps", "-a", "--format", "{{.Names}} {{.State}}")).toBe("other running\ndown exited");
    expect(await host.must("start", "--at-boot")).toBe("down");
    await host.must("rm", "-f", "down", "other");
  });

  test("start --at-boot starts what a policy asks for, after everything was killed as at a shutdown", async () => {
    const policies = {
      forever: "always",
      kept: "unless-stopped",
      stopped: "unless-stopped",
      failing: "on-failure",
      none: "no",
    };
    for (const [name, policy] of Object.entries(policies)) {
      await host.must("run", "-d", "--network", "none", "--name", name, "--restart", policy, "starter", "sleep", "600");
    }
    await host.must("create", "--network", "none", "--name", "never", "--restart", "always", "starter", "sleep", "600");
    await host.must("stop", "-t", "0", "stopped", "forever");
    const monitors = (name: string) => JSON.parse(readFileSync(stateFile(name), "utf8")).monitor.pid as number;
    const id = Object.fromEntries(
      (await host.must("ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.ID}}"))
        .split("\n")
        .map((line) => line.split(" ")),
    );
    const stateFile = (name: string) => join(host.dataDir, "containers", id[name]!, "state.json");
    for (const name of ["kept", "failing", "none"]) process.kill(monitors(name), "SIGKILL");
    const status = () => host.must("ps", "-a", "-f", "name=kept", "--format", "{{.Status}}");
    while ((await status()).startsWith("Up")) await Bun.sleep(20); // its program ends a moment later
    expect(await status()).toMatch(/^Exited \(137\).*, not restarted: its monitor was killed$/);
    expect((await host.must("start", "--at-boot")).split("\n").toSorted()).toEqual(["forever", "kept"]);
    expect((await host.must("ps", "--format", "{{.Names}}")).split("\n").toSorted()).toEqual(["forever", "kept"]);
    expect(await host.must("start", "--at-boot")).toBe("");
    await host.must("rm", "-f", ...Object.keys(policies), "never");
  });
});

function killIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {} // it has just ended
}
