import { beforeAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onBothDrivers } from "./harness.ts";

onBothDrivers("info, version, unshare and system reset", (host, driver) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));

  test("version works without a store, and --version is one line", async () => {
    const env = { HOME: "/nonexistent", XDG_DATA_HOME: "/nonexistent" };
    const { code, stdout } = await host.podWith({ env }, "version");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ ?Version: +\d+\.\d+\.\d+/m);
    expect(await host.must("--version")).toMatch(/^pod version \d+\.\d+\.\d+/);
  });

  test("info tells the driver, the counts and the ids", async () => {
    const id = await host.must("run", "-d", "--network", "none", "starter", "sleep", "60");
    const info = JSON.parse(await host.must("info", "--format", "json"));
    expect(info).toMatchObject({
      Containers: 1,
      ContainersRunning: 1,
      Images: 1,
      Driver: driver,
      Rootless: process.getuid!() !== 0,
      DockerRootDir: host.dataDir,
    });
    expect(await host.must("info")).toContain(` Storage Driver: ${driver}\n`);
    expect(await host.must("info", "-f", "{{.Driver}}")).toBe(driver);
    const counts = "{{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}}";
    expect(await host.must("info", "-f", counts)).toBe("1 0 0");
    await host.must("pause", id);
    expect(await host.must("info", "-f", counts)).toBe("0 1 0");
    await host.must("rm", "-f", id);
  });

  test("unshare runs a command as the namespace's root, with the caller's environment, directory and exit code", async () => {
    const script = 'id -u; pwd; echo "$WORD"; readlink /proc/self/ns/user; exit 9';
    const { code, stdout } = await host.podWith({ env: { WORD: "given" } }, "unshare", "sh", "-c", script);
    const [uid, directory, word, namespace] = stdout.split("\n");
    expect([code, uid, directory, word]).toEqual([9, "0", host.work, "given"]);
    expect(namespace).not.toBe(readlinkSync("/proc/self/ns/user"));
  });

  test("unshare shares its namespace with a running container, and may mount", async () => {
    const script = "readlink /proc/self/ns/user; mount -t tmpfs x /mnt && echo mounted";
    const holder = await host.must("run", "-d", "--network", "none", "starter", "sleep", "60");
    const [one, two] = await Promise.all([
      host.must("unshare", "sh", "-c", script),
      host.must("unshare", "sh", "-c", script),
    ]);
    expect(one).toEndWith("\nmounted");
    expect(two).toBe(one);
    await host.must("rm", "-f", holder);
  });

  test("unshare's options are the command's, and a signal or a missing program has a shell's code", async () => {
    expect(await host.must("unshare", "echo", "-n", "--help")).toBe("--help");
    expect((await host.pod("unshare", "sh", "-c", "kill -TERM $$")).code).toBe(143);
    const missing = await host.pod("unshare", "nosuch");
    expect(missing.code).toBe(127);
    expect(missing.stderr).toBe('pod: exec: "nosuch": executable file not found in $PATH\n');
    expect((await host.pod("unshare", "/etc")).code).toBe(126);
  });

  test("unshare finds nothing in a folder of PATH that it may not read, and says 127 all the same", async () => {
    const closed = join(host.work, "closed");
    mkdirSync(closed);
    writeFileSync(join(host.work, "plain"), "");
    // The namespace's root may open its own folders; /proc/1/root it may not.
    const env = { PATH: `/proc/1/root/bin:${closed}:${host.env.PATH}` };
    chmodSync(closed, 0o000);
    expect((await host.podWith({ env }, "unshare", "nosuch")).code).toBe(127);
    expect((await host.podWith({ env }, "unshare", "true")).code).toBe(0);
    chmodSync(closed, 0o700);
    chmodSync(join(host.work, "plain"), 0o644);
    expect((await host.podWith({ env: { PATH: `${host.work}:${host.env.PATH}` } }, "unshare", "plain")).code).toBe(126);
  });

  test("an unknown command names a near one", async () => {
    const { code, stderr } = await host.pod("runn", "starter");
    expect(code).toBe(1);
    expect(stderr).toStartWith("pod: unknown command: pod runn\n");
    expect(stderr).toContain("Did you mean this?\n\trun\n");
  });

  test("system reset asks first, and names what goes", async () => {
    await host.must("run", "-d", "--network", "none", "--name", "doomed", "starter", "sleep", "60");
    const { stdout } = await host.podWith({ stdin: "n\n" }, "system", "reset");
    expect(stdout).toContain("doomed (running)");
    expect(stdout).toContain("starter");
    expect(await host.must("ps", "--format", "{{.Names}}")).toBe("doomed");
  });

  test("system reset -f ends what runs and leaves an empty store, which works again", async () => {
    await host.must(
      "run",
      "--network",
      "none",
      "starter",
      "sh",
      "-c",
      "mkdir -m 0 /closed; touch /closed/x; chown 1000 /etc",
    );
    await host.must("system", "reset", "-f");
    expect(await host.must("ps", "-aq")).toBe("");
    expect(await host.must("images", "-q")).toBe("");
    for (const name of ["containers", "layers", "names"]) {
      const folder = join(host.dataDir, name);
      expect(existsSync(folder) ? readdirSync(folder) : []).toEqual([]);
    }
    expect(await host.shOutput("echo again")).toBe("again");
    await host.must("system", "reset", "-f");
    for (let i = 0; i < 50 && host.leftovers().length > 0; i++) await Bun.sleep(100);
    expect(host.leftovers()).toEqual([]);
  });
});
