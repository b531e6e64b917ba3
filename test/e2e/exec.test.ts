import { beforeAll, expect, test } from "bun:test";
import { onBothDrivers } from "./harness.ts";

onBothDrivers("exec", (host) => {
  beforeAll(async () => {
    await host.must("pull", "--quiet", "starter");
    const options = ["-d", "--network", "none", "-e", "FROM=create", "-w", "/tmp"];
    await host.must("run", ...options, "--name", "box", "starter", "sleep", "600");
    await host.must("run", ...options, "--name", "reaped", "--init", "starter", "sleep", "600");
  });
  const exec = (...args: string[]) => host.pod("exec", ...args);

  test("is in all of the container's namespaces, with its environment and working directory", async () => {
    const own = "for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done";
    const first = "for n in cgroup ipc mnt net pid user uts; do readlink /proc/1/ns/$n; done";
    for (const name of ["box", "reaped"]) {
      const both = await exec(name, "sh", "-c", `${own}; ${first}`);
      const links = both.stdout.trim().split("\n");
      expect(links.slice(0, 7)).toEqual(links.slice(7));
    }
    expect((await exec("box", "sh", "-c", "echo $FROM; pwd; echo $HOME")).stdout).toBe("create\n/tmp\n/root\n");
  });

  test("has no more capabilities than the container, and with --privileged all within it", async () => {
    const caps = "grep -h ^Cap /proc/1/status /proc/self/status";
    const lines = (await exec("box", "sh", "-c", caps)).stdout.trim().split("\n");
    expect(lines.slice(5)).toEqual(lines.slice(0, 5));
    const { stdout } = await exec("--privileged", "box", "mount", "-t", "tmpfs", "none", "/mnt");
    expect(stdout).toBe("");
    expect((await exec("box", "umount", "/mnt")).code).not.toBe(0);
  });

  test("-u, -w, -e and --env-file", async () => {
    await Bun.write(`${host.work}/vars`, "FILE=yes\n# no\n");
    const script = "id -u; id -g; pwd; echo $FILE $X";
    const options = ["-u", "33:34", "-w", "/etc", "--env-file", "vars", "-e", "X=1"];
    expect((await exec(...options, "box", "sh", "-c", script)).stdout).toBe("33\n34\n/etc\nyes 1\n");
    expect(await exec("-w", "/nowhere", "box", "true")).toMatchObject({ code: expect.any(Number) });
    expect((await exec("-u", "nobody-knows", "box", "true")).stderr).toContain("unable to find user nobody-knows");
  });

  test("exit codes are the program's, 128 + signal, 126 and 127", async () => {
    expect((await exec("box", "sh", "-c", "exit 9")).code).toBe(9);
    expect((await exec("box", "sh", "-c", "kill -9 $$")).code).toBe(137);
    expect(await exec("box", "nosuch")).toMatchObject({
      code: 127,
      stderr: 'pod: exec: "nosuch": executable file not found in $PATH\n',
    });
    expect((await exec("box", "/etc")).code).toBe(126);
  });

  test("streams are apart and binary-safe, and the input's end travels", async () => {
    const bytes = crypto.getRandomValues(new Uint8Array(1 << 18));
    const copied = await host.podWith({ stdin: Buffer.from(bytes) }, "exec", "-i", "box", "cat");
    expect(copied.bytes.equals(Buffer.from(bytes))).toBe(true);
    const both = await exec("box", "sh", "-c", "echo out; echo err >&2");
    expect(both).toMatchObject({ stdout: "out\n", stderr: "err\n" });
    expect((await exec("box", "cat")).code).toBe(0); // without -i there is no input
  });

  test("-it is a terminal of the container's own, with the caller's size; a resize travels", async () => {
    const session = host.session("exec", "-it", "box", "sh");
    await session.waitFor(/\$ |# /);
    session.type("tty; stty size\r");
    await session.waitFor("/dev/pts/");
    await session.waitFor("24 80");
    session.resize(100, 30);
    session.type("sleep 0.2; stty size; exit 5\r");
    await session.waitFor("30 100");
    expect(await session.exit()).toBe(5);
    await session.close();
  });

  test("-d returns while the program runs on", async () => {
    expect(await exec("-d", "box", "sh", "-c", "sleep 0.5; echo late > /late")).toMatchObject({ code: 0, stdout: "" });
    await Bun.sleep(1000);
    expect((await exec("box", "cat", "/late")).stdout).toBe("late\n");
  });

  test("no descriptor of the host's comes in, and the binary stays out of reach (CVE-2019-5736, CVE-2024-21626)", async () => {
    const listed = await exec("box", "sh", "-c", "cd /proc/self/fd; for f in *; do readlink $f; done; true");
    expect(listed.stdout.split("\n").filter((line) => line.startsWith("/") && line !== "/dev/null")).toEqual([]);
    const looped = await exec("box", "/proc/self/exe", "version");
    expect(looped.code).toBe(127);
    expect(looped.stdout).not.toContain("pod version");
  });

  test("64 at once", async () => {
    const results = await Promise.all(Array.from({ length: 64 }, (_, i) => exec("box", "echo", String(i))));
    const told = results.map(({ code, stdout, stderr }) => ({ code, stdout, stderr }));
    expect(told).toEqual(Array.from({ length: 64 }, (_, i) => ({ code: 0, stdout: `${i}\n`, stderr: "" })));
  }, 60_000);

  test("ends with the container", async () => {
    await host.must("run", "-d", "--network", "none", "--name", "brief", "starter", "sleep", "600");
    const child = host.spawn("exec", "brief", "sleep", "600");
    await Bun.sleep(500);
    await host.must("rm", "-f", "brief");
    expect(await child.exited).toBe(137);
  });
});
