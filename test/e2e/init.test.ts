/** `--init`: PID 1 is some instructions that reap and forward. The signals one by one are in signals.test.ts. */

import { beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { onBothDrivers } from "./harness.ts";

onBothDrivers("--init", (host) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));
  const runDetached = (name: string, script: string) =>
    host.must("run", "-d", "--name", name, "--network", "none", "--init", "starter", "sh", "-c", script);
  const inside = (script: string) => host.shOutput(script, "--init");

  test("takes less than a megabyte of memory", async () => {
    await runDetached("small", "sleep 60");
    const pid = await host.must("inspect", "--format", "{{.State.Pid}}", "small");
    const figures = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").matchAll(/^Private_\w+: +(\d+) kB/gm);
    const privateKb = [...figures].reduce((sum, [, kb]) => sum + Number(kb), 0);
    expect(privateKb).toBeGreaterThan(0);
    expect(privateKb).toBeLessThan(1024);
    await host.must("rm", "-f", "small");
  });

  test("reaps what the program leaves behind, many at once too", async () => {
    const orphans = "i=0; while [ $((i += 1)) -le 50 ]; do (sleep 0.2 &); done";
    expect(await inside(`${orphans}; sleep 1; ps -o stat | grep -c Z; true`)).toBe("0");
    expect(await inside("echo $$")).not.toBe("1");
  });

  test("ends with the program and its exit code, whatever else still runs", async () => {
    expect((await host.sh("sleep 60 & exit 17", "--init")).code).toBe(17);
    expect((await host.sh("exit 255", "--init")).code).toBe(255);
    expect((await host.sh("kill -9 $$", "--init")).code).toBe(137);
    expect((await host.sh("kill -SEGV $$", "--init")).code).toBe(139);
  });

  test("an orphan's exit code is not the container's", async () => {
    expect((await host.sh("(sh -c 'sleep 0.1; exit 9' &); sleep 0.5; exit 3", "--init")).code).toBe(3);
  });

  test("passes on what it gets from the program's first moment, real-time signals too", async () => {
    const script = "trap 'exit 9' USR1; kill -USR1 1; while :; do sleep 0.05; done";
    for (let i = 0; i < 5; i++) expect((await host.sh(script, "--init")).code).toBe(9);
    await runDetached("realtime", "exec sleep 60");
    await host.must("kill", "-s", "37", "realtime");
    expect(await host.must("wait", "realtime")).toBe(String(128 + 37));
    await host.must("rm", "realtime");
  });

  test("blocks and ignores no signal in the program", async () => {
    const masks = await inside("exec grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status");
    expect(masks).toBe(["Blk", "Ign", "Cgt"].map((name) => `Sig${name}:\t0000000000000000`).join("\n"));
  });

  test("shows nothing of the host: a file, descriptors and an environment of its own", async () => {
    const look =
      "sleep 0.3; cat /proc/1/comm /proc/1/environ; ls /proc/1/fd; readlink /proc/1/exe; readlink /proc/1/cwd";
    expect(await inside(look)).toBe("pod init\n0\n1\n2\n/memfd:pod-init (deleted)\n/");
  });

  test("pause stops the program too", async () => {
    await runDetached("ticks", "while :; do echo x; sleep 0.05; done");
    await host.must("pause", "ticks");
    await Bun.sleep(100); // what was written before is on its way to the log
    const before = await host.must("logs", "ticks");
    await Bun.sleep(300);
    expect(await host.must("logs", "ticks")).toBe(before);
    await host.must("rm", "-f", "ticks");
  });
});
