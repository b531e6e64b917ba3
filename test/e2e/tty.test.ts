import { beforeAll, expect, test } from "bun:test";
import { binary, onBothDrivers } from "./harness.ts";
import { openSession, type Session } from "./terminal.ts";

const run = ["run", "--rm", "-q", "--network", "none"];

onBothDrivers("a terminal", (host) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));

  const within = async <T>(session: Session, use: (session: Session) => Promise<T>): Promise<T> => {
    try {
      return await use(session);
    } finally {
      await session.close();
    }
  };
  const shell = (...options: string[]) => host.session(...run, "-it", ...options, "starter", "sh");
  /** A shell of the host on a terminal, in which pod is typed. */
  const hostShell = () => openSession(["sh"], { ...host.env, TERM: "xterm", PS1: "host> ", ENV: "" }, host.work);

  test("is /dev/pts/0 for the program, and its controlling one", async () => {
    await within(shell(), async (session) => {
      session.type("tty; echo a_$(tty </dev/tty); ls /dev/pts; test -e /dev/console && echo cons_$((1))\r");
      await session.waitFor("/dev/pts/0");
      await session.waitFor("a_/dev/tty");
      await session.waitFor("cons_1");
      session.type("exit 3\r");
      expect(await session.exit()).toBe(3);
    });
  });

  test("sets TERM, and -t alone gives one too", async () => {
    const child = host.spawn(...run, "-t", "starter", "sh", "-c", "echo $TERM; tty; exit 4");
    expect(await child.stdout.text()).toBe("xterm\r\n/dev/pts/0\r\n");
    expect(await child.exited).toBe(4);
  });

  test("belongs to the user who runs", async () => {
    await within(shell("-u", "1000"), async (session) => {
      session.type("stat -c %u:%a $(tty); echo x_$((2)) > /dev/tty; echo y_$((3)) > /dev/stdout\r");
      await session.waitFor("1000:620");
      await session.waitFor("x_2");
      await session.waitFor("y_3");
      session.type("exit\r");
      expect(await session.exit()).toBe(0);
    });
  });

  for (const [suffix, ...options] of [[""], [" with --init", "--init"]] as const) {
    test(`Ctrl-C interrupts the program in front, not the shell${suffix}`, async () => {
      await within(shell(...options), async (session) => {
        session.type("echo be''gin; sleep 60; echo code_$?\r");
        await session.waitFor("begin");
        await Bun.sleep(200);
        session.type("\x03");
        session.type("echo after_$((1))\r");
        await session.waitFor("after_1");
        session.type("exit 5\r");
        expect(await session.exit()).toBe(5);
      });
    });

    test(`Ctrl-Z stops the program in front, fg takes it up again, Ctrl-D ends the shell${suffix}`, async () => {
      await within(shell(...options), async (session) => {
        session.type("echo be''gin; sleep 61\r");
        await session.waitFor("begin");
        await Bun.sleep(200);
        session.type("\x1a");
        await session.waitFor("Stopped");
        session.type("jobs; echo jobs_$((1))\r");
        await session.waitFor("jobs_1");
        session.type("fg\r");
        await session.waitFor("sleep 61");
        await Bun.sleep(200);
        session.type("\x03");
        session.type("echo after_$((1))\r");
        await session.waitFor("after_1");
        session.type("\x04");
        expect(await session.exit()).not.toBe(125);
      });
    });
  }

  test("Ctrl-\\ and signals typed reach a program without --init as well", async () => {
    await within(
      host.session(...run, "-it", "starter", "sh", "-c", "trap 'echo int_$((1))' INT; echo rea''dy; sleep 60; exit 6"),
      async (session) => {
        await session.waitFor("ready");
        await Bun.sleep(200);
        session.type("\x03");
        await session.waitFor("int_1");
        expect(await session.exit()).toBe(6);
      },
    );
  });

  test("has the caller's size from the first moment, and follows a resize with SIGWINCH", async () => {
    await within(
      host.session(
        ...run,
        "-it",
        "starter",
        "sh",
        "-c",
        "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done",
      ),
      async (session) => {
        await session.waitFor("24 80");
        session.resize(123, 45);
        await session.waitFor("45 123");
        session.resize(80, 25);
        await session.waitFor("25 80");
      },
    );
    for (const id of (await host.must("ps", "-q")).split("\n").filter(Boolean)) await host.must("rm", "-f", id);
  });

  test("passes every byte but its own keys", async () => {
    await within(
      host.session(...run, "-it", "starter", "sh", "-c", "stty raw -echo; echo rea''dy; head -c 6 | od -An -tx1"),
      async (session) => {
        await session.waitFor("ready");
        session.type("\x01\x03\x1a\x7f\xc3");
        await session.waitFor("01 03 1a 7f");
        expect(await session.exit()).toBe(0);
      },
    );
  });

  test("is raw while the program runs, and as it was after a normal end, a failed start and a detach", async () => {
    await within(hostShell(), async (session) => {
      const settings = async (mark: string) => {
        session.type(`echo; stty -g; echo ${mark}''_end\r`);
        const text = await session.waitFor(`${mark}_end`);
        return /[0-9a-f]+:[0-9a-f:]+/.exec(text)![0];
      };
      const before = await settings("before");
      session.type(
        `${binary} ${run.join(" ")} -it starter sh -c 'echo in''side; stty -g <&2 >/dev/null; exit 3'; echo code_$?\r`,
      );
      await session.waitFor("code_3");
      expect(await settings("normal")).toBe(before);
      session.type(`${binary} ${run.join(" ")} -it starter nosuch; echo code_$?\r`);
      await session.waitFor("code_127");
      expect(await settings("failed")).toBe(before);
      session.type(`${binary} run -q --network none --name left -it starter sh; echo code_$?\r`);
      await session.waitFor(/\/ # /);
      session.type("\x10\x11");
      await session.waitFor("code_0");
      expect(await settings("detached")).toBe(before);
      session.type(`${binary} run --rm -q --network none --name gone -it starter sh; echo code_$?\r`);
      await session.waitFor(/\/ # /);
      await host.must("rm", "-f", "gone");
      await session.waitFor("code_137");
      expect(await settings("killed")).toBe(before);
    });
    expect(await host.must("ps", "--format", "{{.Names}}")).toBe("left");
    await host.must("rm", "-f", "left");
  });

  test("Ctrl-P Ctrl-Q detaches, other keys after Ctrl-P go through, and --detach-keys changes them", async () => {
    const script = "stty raw -echo; echo rea''dy; head -c 2 | od -An -tx1; sleep 60";
    await within(
      host.session("run", "-q", "--network", "none", "--name", "keys", "-it", "starter", "sh", "-c", script),
      async (session) => {
        await session.waitFor("ready");
        session.type("\x10x");
        await session.waitFor("10 78");
        session.type("\x10");
        session.type("\x11");
        expect(await session.exit()).toBe(0);
      },
    );
    expect(await host.must("ps", "--format", "{{.Names}} {{.State}}")).toBe("keys running");
    await host.must("rm", "-f", "keys");
    await within(
      host.session(
        "run",
        "-q",
        "--rm",
        "--network",
        "none",
        "--detach-keys",
        "ctrl-a,q",
        "--name",
        "other",
        "-it",
        "starter",
        "sh",
      ),
      async (session) => {
        await session.waitFor(/\/ # /);
        session.type("\x01q");
        expect(await session.exit()).toBe(0);
      },
    );
    await host.must("rm", "-f", "other");
  });

  test("after a detach the program goes on, and its output is in the log", async () => {
    const script = "echo rea''dy; sleep 1; echo later; exit 9";
    await within(
      host.session("run", "-q", "--network", "none", "--name", "goeson", "-it", "starter", "sh", "-c", script),
      async (session) => {
        await session.waitFor("ready");
        session.type("\x10\x11");
        expect(await session.exit()).toBe(0);
      },
    );
    for (let i = 0; i < 100 && (await host.must("ps", "-q")); i++) await Bun.sleep(50);
    expect(await host.must("logs", "goeson")).toBe("ready\r\nlater\r");
    expect(await host.must("ps", "-a", "--format", "{{.Status}}")).toStartWith("Exited (9) ");
    await host.must("rm", "goeson");
  });

  test("that hangs up leaves the container running, as in Docker", async () => {
    const session = host.session(
      "run",
      "-q",
      "--network",
      "none",
      "--name",
      "hung",
      "-it",
      "starter",
      "sh",
      "-c",
      "trap '' HUP; echo rea''dy; sleep 20",
    );
    await session.waitFor("ready");
    session.terminal.close();
    await session.process.exited;
    expect(await host.must("ps", "--format", "{{.Names}}")).toBe("hung");
    await host.must("rm", "-f", "hung");
  });

  test("-it without a terminal is an error of Docker's words", async () => {
    const { code, stdout, stderr } = await host.pod(...run, "-it", "starter", "true");
    expect({ code, stdout }).toEqual({ code: 125, stdout: "" });
    expect(stderr).toBe("pod: cannot attach stdin to a TTY-enabled container because stdin is not a terminal\n");
  });

  test("-dit runs without one", async () => {
    const id = await host.must("run", "-dit", "-q", "--network", "none", "starter", "sh");
    expect(await host.must("ps", "--format", "{{.State}}")).toBe("running");
    expect(JSON.parse(await host.must("inspect", id))[0].Config).toMatchObject({ Tty: true, OpenStdin: true });
    await host.must("rm", "-f", id);
  });

  test("large output comes whole", async () => {
    await within(host.session(...run, "-it", "starter", "sh", "-c", "seq 1 20000; echo al''l"), async (session) => {
      await session.waitFor("all", 20);
      expect(await session.exit()).toBe(0);
      expect(session.output()).toContain("\r\n19999\r\n20000\r\n");
      expect(session.output().split("\r\n").length).toBe(20_002);
    });
  });

  test("of the caller's is left alone where the program has none", async () => {
    await within(hostShell(), async (session) => {
      session.type(`${binary} ${run.join(" ")} -i starter sh -c 'tty; read l; echo got_$l'\r`);
      await session.waitFor("not a tty");
      session.type("line\r");
      await session.waitFor("got_line");
    });
  });
});
