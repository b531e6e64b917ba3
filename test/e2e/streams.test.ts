import { beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, onBothDrivers, quietRun } from "./harness.ts";

const megabyte = 1 << 20;

onBothDrivers("standard streams", (host) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));

  /** `script` is run by the host's shell; `$POD` is the start of a run. */
  const hostShell = async (script: string) => {
    const child = Bun.spawn(["timeout", "30", "bash", "-c", script], {
      cwd: host.work,
      env: { ...host.env, POD: [binary, ...quietRun].join(" ") },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return { code: await child.exited, stdout, stderr };
  };

  test("a megabyte of random bytes goes in and comes out as it was", async () => {
    const bytes = randomBytes(megabyte);
    const result = await host.podWith({ stdin: bytes }, ...quietRun, "-i", "starter", "cat");
    expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: "" });
    expect(result.bytes.equals(bytes)).toBe(true);
  });

  test("output comes also where the user has no inotify instance left, and logs -f ends", async () => {
    const hog = Bun.spawn([process.execPath, join(import.meta.dir, "inotify-hog.ts")], { stdout: "pipe" });
    try {
      const { value } = await hog.stdout.getReader().read();
      expect(Buffer.from(value!).toString()).toBe("taken\n");
      const script = "echo first; sleep 0.3; echo last";
      const named = ["run", "--name", "hungry", "--network", "none", "starter", "sh", "-c", script];
      expect(await host.pod(...named)).toMatchObject({ code: 0, stdout: "first\nlast\n" });
      await host.must("start", "hungry");
      expect(await host.must("logs", "-f", "hungry")).toBe("first\nlast\nfirst\nlast");
      await host.must("rm", "hungry");
    } finally {
      hog.kill();
      await hog.exited;
    }
  });

  test("stderr is as faithful as stdout, and apart from it", async () => {
    const bytes = randomBytes(megabyte);
    writeFileSync(join(host.work, "random"), bytes);
    const command = `$POD -v ./random:/random:ro starter sh -c 'cat /random >&2; echo out' 2>stderr.out`;
    expect(await hostShell(`${command}; cmp stderr.out random && echo same`)).toMatchObject({ stdout: "out\nsame\n" });
  });

  test("the end of the input travels: a program sees it after the last byte", async () => {
    const { stdout } = await host.podWith({ stdin: "one\ntwo" }, ...quietRun, "-i", "starter", "wc", "-c");
    expect(stdout.trim()).toBe("7");
  });

  test("a detached container keeps nothing of the caller's open, nor shows its command line, which may hold secrets", async () => {
    const secret = randomBytes(8).toString("hex");
    const detached = `$POD -d --name kept -e TOKEN=${secret} starter sleep 60 9>&1`;
    expect((await hostShell(`${detached} | wc -l`)).stdout.trim()).toBe("1"); // wc ends when the last writer has
    const { stdout } = await hostShell("cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' '; true");
    expect(stdout).toContain("pod monitor");
    expect(stdout).not.toContain(secret);
    await host.must("rm", "-f", "kept");
  });

  test("an empty input ends at once", async () => {
    expect((await host.podWith({ stdin: "" }, ...quietRun, "-i", "starter", "cat")).code).toBe(0);
  });

  test("a program that does not read its input ends all the same", async () => {
    const stdin = randomBytes(4 * megabyte);
    const { code, stdout } = await host.podWith({ stdin }, ...quietRun, "-i", "starter", "echo", "done");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "done\n" });
  });

  test("a program that closes its input early goes on", async () => {
    const stdin = randomBytes(megabyte);
    const script = "exec 0<&-; sleep 0.3; echo done";
    const { code, stdout } = await host.podWith({ stdin }, ...quietRun, "-i", "starter", "sh", "-c", script);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "done\n" });
  });

  test("an answer to each line comes before the next one is given", async () => {
    const child = host.spawn(...quietRun, "-i", "starter", "sh", "-c", 'while read l; do echo "<$l>"; done');
    const reader = child.stdout.getReader();
    for (const word of ["one", "two"]) {
      child.stdin.write(`${word}\n`);
      await child.stdin.flush();
      expect(new TextDecoder().decode((await reader.read()).value)).toBe(`<${word}>\n`);
    }
    await child.stdin.end();
    expect(await child.exited).toBe(0);
  });

  test("what is typed before the container runs is not lost", async () => {
    const { stdout } = await hostShell(`(echo early; sleep 0.5; echo late) | $POD -i starter cat`);
    expect(stdout).toBe("early\nlate\n");
  });

  for (const user of ["0", "1000", "nobody"]) {
    test(`user ${user} may open /dev/stdout and /dev/stderr, and read /dev/stdin`, async () => {
      const script = "cat /dev/stdin; echo out > /dev/stdout; echo err > /dev/stderr";
      const result = await host.podWith(
        { stdin: "in\n" },
        ...quietRun,
        "-i",
        "-u",
        user,
        "starter",
        "sh",
        "-c",
        script,
      );
      expect(result).toMatchObject({ code: 0, stdout: "in\nout\n", stderr: "err\n" });
    });
  }

  test("a slow reader gets all of a large output", async () => {
    const size = 8 * megabyte;
    const { stdout } = await hostShell(`$POD starter head -c ${size} /dev/zero | (sleep 1; wc -c)`);
    expect(stdout.trim()).toBe(String(size));
  });

  test("output to two full pipes comes whole", async () => {
    const script = "(head -c 3000000 /dev/zero >&2) & head -c 3000000 /dev/zero; wait";
    const result = await host.sh(script);
    expect([result.bytes.length, result.stderr.length]).toEqual([3_000_000, 3_000_000]);
  });

  test("a reader that closes ends the command as SIGPIPE does, not the program; its output is in the log", async () => {
    const script = "for i in 1 2 3; do echo $i; sleep 0.1; done; echo end >&2; exit 5";
    const pod = `${binary} run --name headed --network none`;
    const { stdout, stderr } = await hostShell(`${pod} starter sh -c '${script}' | head -1; echo \${PIPESTATUS[0]}`);
    expect({ stdout, stderr }).toEqual({ stdout: "1\n141\n", stderr: "" });
    expect(await host.pod("logs", "-f", "headed")).toMatchObject({ stdout: "1\n2\n3\n", stderr: "end\n" });
    expect(await host.must("inspect", "--format", "{{.State.ExitCode}}", "headed")).toBe("5");
    await host.must("rm", "headed");
  });

  test("a closed stdin is an empty one", async () => {
    expect(await hostShell("$POD -i starter sh -c 'cat; echo done' <&-")).toEqual({
      code: 0,
      stdout: "done\n",
      stderr: "",
    });
    expect(await hostShell("$POD starter sh -c 'cat; echo done' <&-")).toEqual({
      code: 0,
      stdout: "done\n",
      stderr: "",
    });
  });

  test("what can't be written to stdout is told, and is no quiet end", async () => {
    const full = Bun.spawn(["sh", "-c", 'exec "$@" >/dev/full', "-", binary, ...quietRun, "starter", "echo", "hello"], {
      env: host.env,
      cwd: host.work,
      stdin: "ignore",
      stderr: "pipe",
    });
    expect(await full.stderr.text()).toStartWith(
      "pod: write to standard output: write descriptor 1: no space left on device",
    );
    expect(await full.exited).toBe(125);
  });

  test("closed outputs are no reason to fail", async () => {
    expect((await hostShell("$POD starter echo x >&-")).code).toBe(0);
    expect((await hostShell("$POD starter sh -c 'echo x; echo y >&2; exit 4' <&- >&- 2>&-")).code).toBe(4);
  });

  test("stdin from a file, output to a file and to /dev/null", async () => {
    writeFileSync(join(host.work, "in"), "from a file\n");
    expect(await hostShell("$POD -i starter cat <in >out; cat out; $POD starter echo x >/dev/null")).toMatchObject({
      stdout: "from a file\n",
    });
  });

  test("stdin that nobody asked for stays unread", async () => {
    expect((await hostShell("printf 'a\\nb\\n' | ($POD starter true; cat)")).stdout).toBe("a\nb\n");
  });

  test("output that comes with the program's end, from a child that lives on, is not waited for", async () => {
    const started = performance.now();
    const { code, stdout } = await host.sh("(sleep 30; echo late) & echo now");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "now\n" });
    expect(performance.now() - started).toBeLessThan(15_000);
  });
});
