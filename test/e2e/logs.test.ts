import { beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, onBothDrivers } from "./harness.ts";

onBothDrivers("pod logs", (host) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));

  const run = (name: string, script: string, ...options: string[]) =>
    host.pod("run", "--network", "none", "--name", name, ...options, "starter", "sh", "-c", script);
  /** Its output goes to another program; its exit code comes last. */
  const piped = (into: string, ...args: string[]) =>
    Bun.spawn(["bash", "-c", `"$@" | ${into}; echo \${PIPESTATUS[0]}`, "-", binary, ...args], {
      env: host.env,
      cwd: host.work,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  const ended = async () => {
    for (let i = 0; i < 200 && (await host.must("ps", "-q")); i++) await Bun.sleep(50);
  };

  test("stdout and stderr come out where they went in", async () => {
    await run("both", "echo out; echo err >&2; printf unfinished");
    expect(await host.pod("logs", "both")).toMatchObject({ code: 0, stdout: "out\nunfinished", stderr: "err\n" });
  });

  test("a log whose writer was killed while it cut it is read whole, or from the cut on", async () => {
    await run("cutting", "echo one; sleep 0.1; echo two; echo 2; sleep 0.1; echo three");
    const file = join(
      host.dataDir,
      "containers",
      await host.must("inspect", "-f", "{{.Id}}", "cutting"),
      "container.log",
    );
    const cut = readFileSync(`${file}.index`);
    cut.writeUInt32LE(8, 16 + 8); // the second record: the log is to begin before "2"
    cut.writeUInt32LE(0x80000000, 16 + 12);
    const whole = Buffer.concat([
      cut.subarray(0, 32),
      readFileSync(`${file}.index`).subarray(16, 32),
      cut.subarray(32),
    ]);
    writeFileSync(`${file}.index`, whole); // a cut repeats its record where that is the last one
    expect(await host.must("logs", "cutting")).toBe("one\ntwo\n2\nthree");
    writeFileSync(`${file}.index`, whole.fill(0, 0, 16));
    expect(await host.must("logs", "cutting")).toBe("2\nthree");
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
    await run("followed", "echo 1; sleep 0.3; echo 2; sleep 0.3; echo 3; sleep 2", "-d");
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
    expect(arrived.at(-1)!.lateMs).toBeLessThan(1500); // read at once, not at the end
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
    const child = piped("head -1", "logs", "many");
    expect(await child.stdout.text()).toBe("1\n141\n"); // as SIGPIPE would end it
    expect(await child.stderr.text()).toBe("");
  });

  test("a log keeps to its limit: its beginning goes, between lines, also over several runs and under a reader", async () => {
    const options = ["--log-opt", "max-size=2m", "--log-opt", "max-file=4"];
    await run("bounded", "seq 1 3000000; echo end", ...options, "-d");
    const follower = host.spawn("logs", "-f", "bounded");
    const heard = await follower.stdout.text();
    expect(heard.endsWith("3000000\nend\n")).toBe(true);
    await host.must("start", "-a", "bounded");
    const lines = (await host.must("logs", "bounded")).split("\n");
    expect(lines.at(-1)).toBe("end");
    const first = Number(lines[0]);
    expect(first).toBeGreaterThan(1_000_000);
    expect(lines.slice(0, -1).every((line, index) => Number(line) === first + index)).toBe(true);
    expect(await host.must("logs", "--tail", "2", "bounded")).toBe("3000000\nend");
    const { blocks } = statSync(await host.must("inspect", "-f", "{{.LogPath}}", "bounded"));
    expect(blocks * 512).toBeLessThan(8.5 * 2 ** 20);
  });

  test("who runs it gets all of its output, however slow and however small the log; one that attached later is told", async () => {
    const small = ["--log-opt", "max-size=1m"];
    const script = "seq 1 4000000";
    const options = ["--rm", "--network", "none", ...small];
    const slow = piped("(sleep 2; tail -n 1)", "run", ...options, "starter", "sh", "-c", script);
    expect(await run("flood", `read x; ${script}`, "-di", ...small)).toMatchObject({ code: 0 });
    const over = join(host.work, "over");
    const late = piped(`(until [ -e ${over} ]; do sleep 0.1; done; cat >/dev/null)`, "attach", "flood");
    const attached = [
      "events",
      "--since",
      "1m",
      "--until",
      "0s",
      "--filter",
      "event=attach",
      "--filter",
      "container=flood",
    ];
    while (!(await host.must(...attached))) await Bun.sleep(50);
    const quick = host.spawn("attach", "flood");
    quick.stdin.write("go\n");
    quick.stdin.flush();
    expect((await quick.stdout.text()).length).toBe(30_888_896);
    writeFileSync(over, "");
    expect(await slow.stdout.text()).toBe("4000000\n0\n");
    expect(await late.stdout.text()).toBe("1\n");
    expect(await late.stderr.text()).toContain("output was lost: it was cut off the log before it was read");
  });

  test("--log-driver json-file writes Docker's files too, with the labels and variables that are asked for", async () => {
    const options = ["max-size=10k", "max-file=3", "labels=stage", "env=COLOUR"].flatMap((each) => ["--log-opt", each]);
    const long = "head -c 20000 /dev/zero | tr '\\0' x; echo; seq 1 1000; sleep 0.1; echo err >&2; printf unfinished";
    await run("json", long, "--log-driver", "json-file", ...options, "-l", "stage=test", "-e", "COLOUR=red");
    const path = await host.must("inspect", "-f", "{{.LogPath}}", "json");
    expect(path).toEndWith("-json.log");
    const read = (file: string) =>
      readFileSync(file, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
    const entries = [`${path}.2`, `${path}.1`, path].flatMap(read);
    expect(entries.slice(-3)).toEqual([
      { log: "1000\n", stream: "stdout", attrs: { stage: "test", COLOUR: "red" }, time: expect.any(String) },
      { log: "err\n", stream: "stderr", attrs: { stage: "test", COLOUR: "red" }, time: expect.any(String) },
      { log: "unfinished", stream: "stdout", attrs: { stage: "test", COLOUR: "red" }, time: expect.any(String) },
    ]);
    for (const name of [`${path}.2`, `${path}.1`, path]) expect(statSync(name).size).toBeLessThanOrEqual(10 * 1024);
    expect(existsSync(`${path}.3`)).toBe(false);
    expect(await host.must("logs", "--details", "--tail", "1", "json")).toBe("stage=test,COLOUR=red unfinished");
    const parts = await run("parts", "head -c 20000 /dev/zero | tr '\\0' x; echo", "--log-driver", "json-file");
    expect(parts.stdout.length).toBe(20_001);
    const sizes = read(await host.must("inspect", "-f", "{{.LogPath}}", "parts")).map(({ log }) => log.length);
    expect(sizes).toEqual([16384, 3617]);
  });

  test("--log-driver none shows the output and keeps nothing", async () => {
    expect(await run("unlogged", "seq 1 5", "--log-driver", "none")).toMatchObject({
      code: 0,
      stdout: "1\n2\n3\n4\n5\n",
    });
    expect(await host.pod("logs", "unlogged")).toMatchObject({
      code: 1,
      stderr: "pod: configured logging driver does not support reading\n",
    });
    expect(
      existsSync(
        join(host.dataDir, "containers", await host.must("inspect", "-f", "{{.Id}}", "unlogged"), "container.log"),
      ),
    ).toBe(false);
    const options = {
      "--log-driver=journald": "no log driver named 'journald' is registered",
      "--log-opt=x=1": "unknown log opt 'x' for local log driver",
      "--log-opt=max-file=0": "max-file cannot be less than 1",
      "--log-opt=max-size=big": "invalid size: 'big'",
    };
    for (const [option, text] of Object.entries(options)) {
      const { code, stderr } = await host.pod("run", "--rm", option, "starter", "true");
      expect({ option, code, stderr }).toEqual({ option, code: 125, stderr: expect.stringContaining(text) });
    }
  });

  test("of several containers the lines come in order of time, each with its container's id or name", async () => {
    const share = ["-d", "-v", "./turns:/turns"];
    const wait = (turn: number) => `until [ -e /turns/${turn} ]; do sleep 0.05; done`;
    const say = (turn: number) => `echo ${turn}; sleep 0.3; touch /turns/${turn + 1}`;
    await run("left", `${say(1)}; ${wait(3)}; ${say(3)}`, ...share);
    await run("right", `${wait(2)}; ${say(2)}; ${wait(4)}; printf unfinished`, ...share);
    expect(await host.must("logs", "-f", "--names", "left", "right")).toBe("left 1\nright 2\nleft 3\nright unfinished");
    const id = await host.must("inspect", "-f", "{{.Id}}", "left");
    expect(await host.must("logs", "--tail", "1", "left", "left")).toBe(`${id.slice(0, 12)} 3`);
  });

  test("a name that is not there is Docker's error", async () => {
    const { code, stdout, stderr } = await host.pod("logs", "nosuch");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toBe("pod: No such container: nosuch\n");
  });
});
