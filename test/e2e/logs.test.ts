import { beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onBothDrivers } from "./harness.ts";

onBothDrivers("pod logs", (host) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));

  const run = (name: string, script: string, ...options: string[]) =>
    host.pod("run", "--network", "none", "--name", name, ...options, "starter", "sh", "-c", script);
  const ended = async () => {
    for (let i = 0; i < 200 && (await host.must("ps", "-q")); i++) await Bun.sleep(50);
  };

  test("stdout and stderr come out where they went in", async () => {
    await run("both", "echo out; echo err >&2; printf unfinished");
    expect(await host.pod("logs", "both")).toMatchObject({ code: 0, stdout: "out\nunfinished", stderr: "err\n" });
  });

  test("--tail gives the last lines, all without or with `all`, none with 0", async () => {
    await run("tailed", "seq 1 1000");
    expect(await host.must("logs", "--tail", "3", "tailed")).toBe("998\n999\n1000");
    expect(await host.must("logs", "-n", "1", "tailed")).toBe("1000");
    expect(await host.must("logs", "--tail", "0", "tailed")).toBe("");
    for (const all of [[], ["--tail", "all"], ["--tail", "-1"], ["--tail", "5000"]]) {
      expect((await host.must("logs", ...all, "tailed")).split("\n")).toHaveLength(1000);
    }
    const bad = await host.pod("logs", "--tail", "many", "tailed");
    expect(bad.code).toBe(125);
    expect(bad.stderr).toContain('invalid argument "many" for "-n, --tail" flag');
  });

  test("-t puts a time before each line, in the order written", async () => {
    const before = new Date().toISOString();
    await run("timed", "echo one; sleep 0.2; echo two");
    const lines = (await host.must("logs", "-t", "timed")).split("\n").map((line) => line.split(" "));
    expect(lines.map(([, text]) => text)).toEqual(["one", "two"]);
    const [first, second] = lines.map(([time]) => time!) as [string, string];
    expect(first).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
    expect(first >= before.slice(0, 19) && second > first).toBe(true);
  });

  test("--since and --until cut by time: RFC 3339, seconds, durations", async () => {
    await run("cut", "echo one; sleep 0.3; echo two; sleep 0.3; echo three");
    const times = (await host.must("logs", "-t", "cut")).split("\n").map((line) => line.split(" ")[0]!);
    expect(await host.must("logs", "--since", times[1]!, "cut")).toBe("two\nthree");
    expect(await host.must("logs", "--until", times[1]!, "cut")).toBe("one");
    expect(await host.must("logs", "--since", times[1]!, "--until", times[2]!, "cut")).toBe("two");
    const seconds = (Date.parse(times[2]!) / 1000).toFixed(3);
    expect(await host.must("logs", "--since", seconds, "cut")).toBe("three");
    expect(await host.must("logs", "--since", "10m", "cut")).toBe("one\ntwo\nthree");
    expect(await host.must("logs", "--until", "10m", "cut")).toBe("");
  });

  test("-f is woken by each line, and ends with the container", async () => {
    await run("followed", "for i in 1 2 3; do echo $i; sleep 0.3; done", "-d");
    const child = host.spawn("logs", "-f", "-t", "followed");
    const reader = child.stdout.getReader();
    const arrived: { lateMs: number; text: string }[] = [];
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      for (const line of Buffer.from(value).toString().trim().split("\n")) {
        const [time, text] = line.split(" ") as [string, string];
        arrived.push({ lateMs: Date.now() - Date.parse(time), text });
      }
    }
    expect(await child.exited).toBe(0);
    expect(arrived.map(({ text }) => text)).toEqual(["1", "2", "3"]);
    expect(arrived.at(-1)!.lateMs).toBeLessThan(280); // read at once, not at the end
  });

  test("-f of an ended container prints and ends; --tail counts from where it is", async () => {
    expect(await host.must("logs", "-f", "followed")).toBe("1\n2\n3");
    expect(await host.must("logs", "-f", "--tail", "1", "followed")).toBe("3");
  });

  test("-f ends with a container that is killed, and with one that --rm removes", async () => {
    for (const options of [[], ["--rm"]]) {
      await run("short", "echo here; sleep 20", "-d", ...options);
      const child = host.spawn("logs", "-f", "short");
      const output = child.stdout.text();
      await Bun.sleep(200);
      await host.must("rm", "-f", "short");
      expect(await output).toBe("here\n");
      expect(await child.exited).toBe(0);
    }
  });

  test("every byte is kept: binary output, long lines, a hundred thousand lines", async () => {
    const bytes = randomBytes(1 << 20);
    mkdirSync(join(host.work, "in"));
    writeFileSync(join(host.work, "in/random"), bytes);
    await run("binary", "cat /in/random", "-v", "./in:/in:ro");
    expect((await host.pod("logs", "binary")).bytes.equals(bytes)).toBe(true);
    await run("many", "seq 1 100000", "-d");
    await ended();
    const lines = (await host.must("logs", "many")).split("\n");
    expect([lines.length, lines[0], lines.at(-1)]).toEqual([100_000, "1", "100000"]);
  });

  test("a detached container's output is there, and of one with a terminal too", async () => {
    await run("detached", "echo hello; echo oops >&2", "-d");
    await run("terminal", "echo hello", "-dt");
    await ended();
    expect(await host.pod("logs", "detached")).toMatchObject({ stdout: "hello\n", stderr: "oops\n" });
    expect(await host.pod("logs", "terminal")).toMatchObject({ stdout: "hello\r\n" });
  });

  test("a reader that has had enough ends it quietly", async () => {
    const child = Bun.spawn(
      [
        "bash",
        "-c",
        `"$0" logs many | head -1; echo \${PIPESTATUS[1]}`,
        ...[process.env.POD_BINARY ?? join(import.meta.dir, "../../dist/pod")],
      ],
      {
        env: host.env,
        cwd: host.work,
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    expect(await child.stdout.text()).toBe("1\n0\n");
    expect(await child.stderr.text()).toBe("");
  });

  test("a name that is not there is Docker's error", async () => {
    const { code, stdout, stderr } = await host.pod("logs", "nosuch");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toBe("pod: No such container: nosuch\n");
  });
});
