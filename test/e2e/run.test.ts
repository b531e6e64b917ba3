import { expect, test } from "bun:test";
import { onBothDrivers } from "./harness.ts";

const run = ["run", "--rm", "--network", "none"];

onBothDrivers("pod run", (host) => {
  test("the program's output is on stdout, alone", async () => {
    const { code, stdout } = await host.pod(...run, "starter", "echo", "hello");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "hello\n" });
  });

  test("stdout and stderr stay apart", async () => {
    await host.must(...run, "starter", "true");
    const result = await host.pod(...run, "starter", "sh", "-c", "echo out; echo err >&2");
    expect(result).toMatchObject({ code: 0, stdout: "out\n", stderr: "err\n" });
  });

  for (const code of [0, 1, 42, 255]) {
    test(`exit code ${code} is the program's own`, async () => {
      expect((await host.pod(...run, "starter", "sh", "-c", `exit ${code}`)).code).toBe(code);
    });
  }

  test("a program that signal 15 ended gives 143", async () => {
    // A parent in between: signals that PID 1 sends itself are lost (pid_namespaces(7)).
    const script = "sh -c 'kill -TERM $$'; exit $?";
    expect((await host.pod(...run, "starter", "sh", "-c", script)).code).toBe(143);
  });

  test("a command that is not there gives 127", async () => {
    const { code, stdout, stderr } = await host.pod(...run, "starter", "no-such-command");
    expect({ code, stdout }).toEqual({ code: 127, stdout: "" });
    expect(stderr).toContain('exec: "no-such-command": executable file not found in $PATH');
  });

  test("a command that is a directory gives 126", async () => {
    const { code, stderr } = await host.pod(...run, "starter", "/etc");
    expect(code).toBe(126);
    expect(stderr).toContain('exec: "/etc": ');
  });

  test("an unknown option gives 125", async () => {
    const { code, stderr } = await host.pod("run", "--no-such-option", "starter");
    expect(code).toBe(125);
    expect(stderr).toContain("unknown flag: --no-such-option");
  });

  test("with -i every byte of stdin reaches the program, and then the end", async () => {
    const stdin = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) % 256));
    const { code, bytes } = await host.podWith({ stdin }, ...run, "-i", "starter", "cat");
    expect(code).toBe(0);
    expect(bytes.equals(stdin)).toBe(true);
  });

  test("without -i the program's stdin is empty", async () => {
    const { code, stdout } = await host.podWith({ stdin: "not for you" }, ...run, "starter", "cat");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
  });

  test("with -t the program has a terminal of the caller's size, and follows a resize", async () => {
    const session = host.session(...run, "-it", "starter", "sh");
    try {
      session.type("stty size; test -t 0 && echo is_$((1))_terminal\r");
      await session.waitFor("24 80");
      await session.waitFor("is_1_terminal");
      session.resize(100, 30);
      session.type("sleep 0.2; stty size\r");
      await session.waitFor("30 100");
      session.type("exit 7\r");
      expect(await session.exit()).toBe(7);
    } finally {
      await session.close();
    }
  });

  test("nothing of a finished container is left", async () => {
    await host.must(...run, "starter", "true");
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });
});
