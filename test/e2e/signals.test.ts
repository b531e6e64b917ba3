import { beforeAll, expect, test } from "bun:test";
import { constants } from "node:os";
import { binary, onBothDrivers, quietRun } from "./harness.ts";
import { exitCode } from "./terminal.ts";

type Signal = "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGQUIT" | "SIGUSR1" | "SIGUSR2";

onBothDrivers("signals and exit codes", (host) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));

  /** Runs a script that prints `ready`, then sends pod the signal. */
  const signalled = async (signal: Signal, script: string, ...options: string[]) => {
    const child = host.spawn(...quietRun, ...options, "starter", "sh", "-c", script);
    const reader = child.stdout.getReader();
    let stdout = "";
    const read = async () => {
      const { done, value } = await reader.read();
      if (value) stdout += new TextDecoder().decode(value);
      return !done;
    };
    while (!stdout.includes("ready\n") && (await read()));
    child.kill(signal);
    while (await read());
    await child.exited;
    return { code: exitCode(child), stdout: stdout.replace("ready\n", "") };
  };

  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const) {
    const number = constants.signals[signal];
    test(`${signal} reaches the program, which decides`, async () => {
      const script = `trap 'echo got; exit 9' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done`;
      expect(await signalled(signal, script)).toEqual({ code: 9, stdout: "got\n" });
    });

    test(`--init passes ${signal} to a program that does nothing about it: exit code ${128 + number}`, async () => {
      // tail itself says that it is ready: until exec has taken its place, a shell ignores SIGQUIT
      const script = "echo ready > /tmp/file; exec tail -f /tmp/file";
      expect((await signalled(signal, script, "--init")).code).toBe(128 + number);
    });
  }

  test("with --sig-proxy=false a signal ends the command, as with Docker, and the program does not hear of it", async () => {
    const script = "trap 'echo got' INT TERM; while :; do sleep 0.1; done";
    const run = ["run", "--sig-proxy=false", "--name", "apart", "--network", "none", "starter", "sh", "-c", script];
    for (const command of [run, ["attach", "--sig-proxy=false", "apart"]]) {
      const child = host.spawn(...command);
      await Bun.sleep(400);
      child.kill("SIGINT");
      await child.exited;
      expect(exitCode(child)).toBe(130);
    }
    expect(await host.must("inspect", "-f", "{{.State.Running}}", "apart")).toBe("true");
    expect(await host.must("logs", "apart")).toBe("");
    await host.must("rm", "-f", "apart");
  });

  test("the third SIGINT ends the command where the program does not listen", async () => {
    const child = host.spawn("run", "--name", "deaf", "--network", "none", "starter", "sleep", "600");
    while (!(await host.pod("ps", "-q", "-f", "name=deaf")).stdout) await Bun.sleep(50);
    for (let i = 0; i < 3; i++) {
      child.kill("SIGINT");
      await Bun.sleep(100);
    }
    await child.exited;
    expect(child.exitCode).toBe(1);
    expect(await child.stderr.text()).toContain("got 3 SIGTERM/SIGINTs, forcefully exiting");
    await host.must("rm", "-fv", "deaf");
  });

  test("a signal before the container runs is not lost", async () => {
    const child = host.spawn(...quietRun, "--init", "starter", "sleep", "5");
    await Bun.sleep(30);
    child.kill("SIGTERM");
    await child.exited;
    expect(exitCode(child)).toBe(143);
  });

  test("a signal is passed on while nobody reads the output", async () => {
    const program = "trap 'echo got > /mnt/got; exit 6' TERM; yes & wait";
    const run = [binary, ...quietRun, "-v", "./heard:/mnt", "starter", "sh", "-c", program];
    const script =
      '"$@" | sleep 3 & sleep 1; kill -TERM $(pgrep -P $$ -f "^[^ ]*pod run"); sleep 1; cat heard/got; wait';
    const child = Bun.spawn(["sh", "-c", script, "sh", ...run], { cwd: host.work, env: host.env, stdout: "pipe" });
    const [ended] = await Promise.all([child.stdout.text(), child.exited]);
    expect(ended).toBe("got\n");
  });

  test("SIGKILL of pod ends neither the container nor what is known of it", async () => {
    const child = host.spawn(
      "run",
      "--name",
      "orphan",
      "--network",
      "none",
      "starter",
      "sh",
      "-c",
      "sleep 0.5; exit 8",
    );
    for (let i = 0; i < 100 && !(await host.must("ps", "-q")); i++) await Bun.sleep(20);
    child.kill("SIGKILL");
    for (let i = 0; i < 100 && (await host.must("ps", "-q")); i++) await Bun.sleep(50);
    expect(await host.must("ps", "-a", "--format", "{{.Names}} {{.Status}}")).toMatch(/^orphan Exited \(8\) /);
    await host.must("rm", "orphan");
  });

  test("a program that a signal ended gives 128 and its number", async () => {
    // A child's: the kernel keeps signals without a handler from PID 1 (pid_namespaces(7)), as in Docker.
    for (const signal of ["TERM", "KILL", "SEGV", "ABRT"] as const) {
      const script = `sh -c 'kill -${signal} $$'; exit $?`;
      expect((await host.sh(script)).code).toBe(128 + constants.signals[`SIG${signal}`]);
    }
  });

  for (const code of [0, 1, 2, 64, 126, 255]) {
    test(`exit code ${code} is the program's own`, async () => {
      expect((await host.sh(`exit ${code}`)).code).toBe(code);
    });
  }

  for (const [name, command, code, text] of [
    ["a name that is not in PATH", "nosuch", 127, 'exec: "nosuch": executable file not found in $PATH'],
    [
      "a path that is not there",
      "/bin/nosuch",
      127,
      'exec: "/bin/nosuch": stat /bin/nosuch: no such file or directory',
    ],
    ["a file that is not executable", "/etc/passwd", 126, 'exec: "/etc/passwd": permission denied'],
    ["a directory", "/etc", 126, 'exec: "/etc": '],
  ] as const) {
    test(`${name} gives ${code}`, async () => {
      for (const options of [[], ["--init"], ["-d"]]) {
        const result = await host.pod(...quietRun, ...options, "starter", command);
        expect(result.code).toBe(code);
        expect(result.stderr).toContain(text);
      }
    });
  }

  test("a script whose interpreter is missing gives 127, a file that is no program 126 with the architecture", async () => {
    const make = (text: string) => `printf '${text}' > /mnt/f; chmod 755 /mnt/f`;
    await host.shOutput(make("#!/no/such\\n"), "-v", "./programs:/mnt");
    const script = await host.pod(...quietRun, "-v", "./programs:/mnt", "starter", "/mnt/f");
    expect(script.code).toBe(127);
    expect(script.stderr).toContain('exec: "/mnt/f": the interpreter it names does not exist');
    await host.shOutput(make("\\177ELF no program"), "-v", "./programs:/mnt");
    const garbage = await host.pod(...quietRun, "-v", "./programs:/mnt", "starter", "/mnt/f");
    expect(garbage.code).toBe(126);
    expect(garbage.stderr).toContain('exec: "/mnt/f": exec format error');
    expect(garbage.stderr).toMatch(/hint: .*(amd64|arm64).*--platform/);
  });

  test("a container that could not start stays as created with its error, or goes with --rm", async () => {
    const { code } = await host.pod("run", "--name", "broken", "--network", "none", "starter", "nosuch");
    expect(code).toBe(127);
    expect(await host.must("ps", "-a", "--format", "{{.Names}} {{.Status}}")).toBe("broken Created");
    const state = JSON.parse(await host.must("inspect", "broken"))[0].State;
    expect(state).toMatchObject({ Status: "created", ExitCode: 127 });
    expect(state.Error).toContain("executable file not found");
    await host.must("rm", "broken");
    expect(await host.must("ps", "-aq")).toBe("");
  });
});
