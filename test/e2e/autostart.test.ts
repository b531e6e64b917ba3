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
    expect(unit).toContain(`Environment="XDG_DATA_HOME=${host.env.XDG_DATA_HOME}"\n`);
    expect(readlinkSync(join(units, "default.target.wants/pod.service"))).toBe(join(units, "pod.service"));
    expect(await host.must("system", "autostart")).toBe(join(units, "pod.service"));
    expect(await host.must("system", "autostart", "--remove")).toBe("Removed");
    expect(existsSync(join(units, "pod.service"))).toBe(false);
    expect(await host.must("system", "autostart", "--remove")).toBe("There was no unit");
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
    expect(await host.must("ps", "-a", "-f", "name=kept", "--format", "{{.Status}}")).toMatch(
      /^Exited \(137\).*, not restarted: its monitor was killed$/,
    );
    expect((await host.must("start", "--at-boot")).split("\n").toSorted()).toEqual(["forever", "kept"]);
    expect((await host.must("ps", "--format", "{{.Names}}")).split("\n").toSorted()).toEqual(["forever", "kept"]);
    expect(await host.must("start", "--at-boot")).toBe("");
    await host.must("rm", "-f", ...Object.keys(policies), "never");
  });
});
