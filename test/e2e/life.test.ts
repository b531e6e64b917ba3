/** The states of a container, and what each command does in them: Docker's answers. */

import { afterEach, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { encodeControl } from "../../src/frames.ts";
import { isRunning } from "./family.ts";
import { onBothDrivers } from "./harness.ts";

onBothDrivers("the life of a container", (host) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));
  afterEach(async () => {
    const ids = (await host.must("ps", "-aq")).split("\n").filter(Boolean);
    if (ids.length) await host.must("rm", "-f", ...ids);
  });

  const create = (name: string, script: string, ...options: string[]) =>
    host.must("create", "--name", name, "--network", "none", ...options, "starter", "sh", "-c", script);
  const runDetached = (name: string, script: string, ...options: string[]) =>
    host.must("run", "-d", "--name", name, "--network", "none", ...options, "starter", "sh", "-c", script);
  const state = (name: string) => host.must("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name);
  const obedient = "trap 'exit 3' TERM; echo up; while :; do sleep 1 & wait $!; done";
  const up = async (name: string) => {
    for (let i = 0; i < 100 && !(await host.must("logs", name)).includes("up"); i++) await Bun.sleep(50);
  };

  test("create makes it, start runs it, wait tells its exit code, and start -a runs it again with its files", async () => {
    const id = await create("again", "n=$(cat /count 2>/dev/null); echo $((n + 1)) | tee /count; exit 4");
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(await state("again")).toBe("created 0");
    expect(await host.must("start", "again")).toBe("again");
    expect(await host.must("wait", "again")).toBe("4");
    expect(await host.pod("start", "-a", "again")).toMatchObject({ code: 4, stdout: "2\n", stderr: "" });
    expect(await host.must("logs", "again")).toBe("1\n2");
  });

  test("a start right after the end starts it again", async () => {
    await create("quick", "echo run");
    for (let i = 0; i < 5; i++) expect(await host.pod("start", "-a", "quick")).toMatchObject({ stdout: "run\n" });
  });

  test("start -ai gives it the caller's input", async () => {
    await create("reader", "cat; echo end", "-i");
    const { stdout } = await host.podWith({ stdin: "typed\n" }, "start", "-ai", "reader");
    expect(stdout).toBe("typed\nend\n");
  });

  test("stop asks with the stop signal and waits no longer than the program takes", async () => {
    await runDetached("kind", obedient);
    await up("kind");
    const begin = performance.now();
    expect(await host.must("stop", "kind")).toBe("kind");
    expect(performance.now() - begin).toBeLessThan(5000);
    expect(await state("kind")).toBe("exited 3");
  });

  test("stop kills what does not listen when the time is over, 128 + 9", async () => {
    await runDetached("deaf", "trap '' TERM; echo up; while :; do sleep 1; done");
    await up("deaf");
    await host.must("stop", "-t", "1", "deaf");
    expect(await state("deaf")).toBe("exited 137");
  });

  test("--stop-signal, --stop-timeout and stop -s", async () => {
    const script = "trap 'exit 7' USR1; trap 'exit 8' USR2; trap '' TERM; echo up; while :; do sleep 1 & wait $!; done";
    await runDetached("own", script, "--stop-signal", "SIGUSR1", "--stop-timeout", "20");
    await up("own");
    await host.must("stop", "own");
    expect(await state("own")).toBe("exited 7");
    await host.must("start", "own");
    await Bun.sleep(300);
    await host.must("stop", "-s", "usr2", "own");
    expect(await state("own")).toBe("exited 8");
    const { code, stderr } = await host.pod("create", "--stop-signal", "NOPE", "starter");
    expect(code).toBe(125);
    expect(stderr).toContain("invalid signal: NOPE");
  });

  test("kill sends any signal, SIGKILL without being asked, and restart is stop and start", async () => {
    await runDetached("target", obedient);
    await up("target");
    await host.must("kill", "-s", "TERM", "target");
    expect(await host.must("wait", "target")).toBe("3");
    await host.must("start", "target");
    await host.must("kill", "target");
    expect(await state("target")).toBe("exited 137");
    expect(await host.must("restart", "-t", "1", "target")).toBe("target");
    expect(await state("target")).toStartWith("running");
  });

  test("a restart that waits for the program can be interrupted", async () => {
    await runDetached("slow", "trap '' TERM; echo up; while :; do sleep 1; done");
    await up("slow");
    const child = host.spawn("restart", "-t", "60", "slow");
    await Bun.sleep(700);
    child.kill("SIGINT");
    await child.exited;
    expect(child.signalCode).toBe("SIGINT");
    expect(await state("slow")).toStartWith("running");
  });

  test("pause stops all of its processes and unpause lets them go on", async () => {
    await runDetached("ticks", "while :; do echo x; sleep 0.05; done & wait");
    await host.must("pause", "ticks");
    await Bun.sleep(100); // what was written before is on its way to the log
    const before = await host.must("logs", "ticks");
    await Bun.sleep(300);
    expect(await host.must("logs", "ticks")).toBe(before);
    expect(await host.must("ps", "--format", "{{.Status}}")).toMatch(/^Up .*\(Paused\)$/);
    expect(await host.pod("exec", "ticks", "true")).toMatchObject({ code: 1 });
    await host.must("unpause", "ticks");
    await Bun.sleep(300);
    expect((await host.must("logs", "ticks")).length).toBeGreaterThan(before.length);
    await host.must("pause", "ticks");
    await host.must("stop", "-t", "0", "ticks"); // a paused one is stopped too
    expect(await state("ticks")).toBe("exited 137");
  });

  test("several attach at once, output and exit code reach all, and input comes from any", async () => {
    await runDetached("shared", "read line; echo got $line; exit 6", "-i");
    const [first, second] = [host.spawn("attach", "shared"), host.spawn("attach", "shared")];
    await Bun.sleep(400);
    second.stdin.write("word\n");
    second.stdin.flush();
    const texts = await Promise.all([first.stdout.text(), second.stdout.text()]);
    expect(texts).toEqual(["got word\n", "got word\n"]);
    expect([await first.exited, await second.exited]).toEqual([6, 6]);
  });

  test("a client that does not read holds up neither the container nor another client", async () => {
    await runDetached("loud", "read x; seq 1 300000; echo finished", "-i");
    const slow = host.spawn("attach", "loud"); // its output is never read
    const quick = host.spawn("attach", "loud");
    await Bun.sleep(400);
    quick.stdin.write("go\n");
    quick.stdin.flush();
    const text = await quick.stdout.text();
    expect(text).toEndWith("300000\nfinished\n");
    expect(await host.must("wait", "loud")).toBe("0");
    slow.kill();
    await slow.exited;
  });

  test("rm -f ends a container for good that would start again, at once, also while it waits for that", async () => {
    const started = performance.now();
    await runDetached("again", obedient, "--restart", "always");
    await host.must("rm", "-f", "again");
    await runDetached("waits", "exit 1", "--restart", "always");
    const look = () => host.must("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", "waits");
    while ((await look()) !== "restarting 4") await Bun.sleep(20); // 0.8 s
    const { code, stderr } = await host.pod("rm", "waits");
    expect(code).toBe(1);
    expect(stderr).toContain("container is restarting: stop the container before removing or force remove");
    await host.must("rm", "-f", "waits");
    expect(performance.now() - started).toBeLessThan(5000);
    await Bun.sleep(300);
    expect(await host.must("ps", "-aq", "-f", "name=again", "-f", "name=waits")).toBe("");
  });

  test("stop, kill and rm -f end a container for good whose program ends in that moment by itself", async () => {
    for (const command of [["stop"], ["kill"], ["rm", "-f"]]) {
      await runDetached("ends", obedient, "--restart", "always");
      const pid = Number(await host.must("inspect", "-f", "{{.State.Pid}}", "ends"));
      const monitor = Number(/^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
      process.kill(monitor, "SIGSTOP"); // it will hear of both in one moment
      process.kill(pid, "SIGKILL");
      const ending = host.must(...command, "ends");
      await Bun.sleep(300);
      process.kill(monitor, "SIGCONT");
      await ending;
      await Bun.sleep(200); // its restart policy would have started it again by then
      expect(isRunning(monitor)).toBe(false);
      await host.pod("rm", "-f", "ends");
    }
  });

  test("update changes the restart policy, also of one that runs", async () => {
    await runDetached("changed", "echo up; sleep 0.4; exit 1");
    expect(await host.must("update", "--restart", "on-failure:1", "changed")).toBe("changed");
    expect(await host.must("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", "changed")).toBe("on-failure");
    for (let i = 0; i < 100 && (await host.must("logs", "changed")) !== "up\nup"; i++) await Bun.sleep(50);
    expect(await host.must("logs", "changed")).toBe("up\nup");
    await host.must("update", "--restart", "no", "changed");
    expect(await host.must("wait", "changed")).toBe("1");
    const { code, stderr } = await host.pod("update", "changed");
    expect(code).toBe(1);
    expect(stderr).toContain("you must provide one or more flags when using this command");
  });

  test("a restart policy also holds where pod itself could not go on; where it could not start there is no other try", async () => {
    const id = await runDetached("lost", obedient, "--restart", "on-failure");
    const client = await Bun.connect({
      unix: join(host.dataDir, "containers", id, "control"),
      socket: { data() {} },
    });
    client.write(encodeControl({ kind: "signal", signal: 999 })); // from nobody but the user; no signal: EINVAL
    const again = () => host.must("inspect", "--format", "{{.State.Status}} {{.RestartCount}}", "lost");
    for (const end = performance.now() + 10_000; (await again()) !== "running 1"; await Bun.sleep(50)) {
      expect(performance.now()).toBeLessThan(end);
    }
    client.end();
    const told = await host.must("events", "--since", "1m", "--until", "0s", "-f", "container=lost", "-f", "event=die");
    expect(told).toContain("exitCode=125");
    await create("bad", "exit 0", "--restart", "always", "-w", "/etc/passwd/x");
    expect((await host.pod("start", "bad")).code).toBe(125);
    expect(await state("bad")).toStartWith("created ");
  });

  test("restart policies: on-failure counts, unless-stopped respects a stop, --rm excludes them", async () => {
    await runDetached("fails", "echo run; exit 5", "--restart", "on-failure:2");
    for (let i = 0; i < 100 && (await host.must("logs", "fails")).split("\n").length < 3; i++) await Bun.sleep(50);
    expect(await host.must("wait", "fails")).toBe("5");
    await Bun.sleep(300);
    expect(await host.must("logs", "fails")).toBe("run\nrun\nrun");
    expect(await state("fails")).toBe("exited 5");
    await runDetached("ends", "echo up; exit 0", "--restart", "on-failure");
    expect(await host.must("wait", "ends")).toBe("0");
    await runDetached("always", obedient, "--restart", "unless-stopped");
    await up("always");
    await host.must("kill", "-s", "TERM", "always");
    for (let i = 0; i < 100 && (await host.must("logs", "always")) !== "up\nup"; i++) await Bun.sleep(50);
    expect(await state("always")).toStartWith("running");
    await host.must("stop", "always");
    await Bun.sleep(400);
    expect(await state("always")).toBe("exited 3");
    const both = await host.pod("run", "--rm", "--restart", "always", "starter", "true");
    expect(both.stderr).toContain("conflicting options: cannot specify both --restart and --rm");
    expect(both.code).toBe(125);
  });

  test("sixteen starts of one container at once run it once", async () => {
    await create("once", "echo began; sleep 2");
    const results = await Promise.all(Array.from({ length: 16 }, () => host.pod("start", "once")));
    expect(results.map(({ code }) => code)).toEqual(Array(16).fill(0));
    await host.must("wait", "once");
    expect(await host.must("logs", "once")).toBe("began");
  });

  /** [command, of a created one, of a running, of a paused, of an exited]: the exit code, and what stderr says. */
  const answers: [string[], ...([number] | [number, string])[]][] = [
    [["start"], [0], [0], [1, "cannot start a paused container, try unpause instead"], [0]],
    [["stop", "-t", "0"], [0], [0], [0], [0]],
    [["restart", "-t", "0"], [0], [0], [0], [0]],
    [["kill"], [1, "is not running"], [0], [0], [1, "is not running"]],
    [["pause"], [1, "is not running"], [0], [1, "is already paused"], [1, "is not running"]],
    [["unpause"], [1, "is not running"], [1, "is not paused"], [0], [1, "is not running"]],
    [["attach"], [1, "cannot attach to a stopped container"], [0], [1, "cannot attach to a paused"], [1, "stopped"]],
    [["exec"], [1, "is not running"], [0], [1, "is paused, unpause the container before exec"], [1, "is not running"]],
    [["logs"], [0], [0], [0], [0]],
    [["rm"], [0], [1, "container is running"], [1, "container is paused and must be unpaused first"], [0]],
    [["rm", "-f"], [0], [0], [0], [0]],
  ];
  test.each(answers)(
    "%j in every state",
    async (command, ...expected) => {
      const script = command[0] === "attach" ? "sleep 1" : "sleep 60";
      for (const [index, name] of ["created", "running", "paused", "exited"].entries()) {
        if (name === "created") await create(name, script);
        else await runDetached(name, name === "exited" ? "true" : script);
        if (name === "paused") await host.must("pause", name);
        if (name === "exited") await host.must("wait", name);
        const { code, stderr } = await host.pod(...command, name, ...(command[0] === "exec" ? ["true"] : []));
        const [wantedCode, wantedText = ""] = expected[index]!;
        expect({ name, code, stderr }).toEqual({ name, code: wantedCode, stderr: expect.stringContaining(wantedText) });
      }
    },
    60_000,
  );
});
