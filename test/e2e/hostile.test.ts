import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Host, newHost, quietRun } from "./harness.ts";

setDefaultTimeout(60_000);
const host = new Host();
beforeAll(async () => {
  host.open();
  await host.must("pull", "--quiet", "starter");
});
afterAll(() => host.close(), 60_000);

const runDetached = (name: string, script: string, ...options: string[]) =>
  host.must("run", "-d", "--name", name, "--network", "none", ...options, "starter", "sh", "-c", script);
const inspect = (name: string, template: string) => host.must("inspect", "-f", template, name);
const folderOf = async (name: string) => join(host.dataDir, "containers", await inspect(name, "{{.Id}}"));

test("a client that is killed while its monitor answers is no reason to end the container", async () => {
  await runDetached("calm", "sleep 600");
  const { monitor } = JSON.parse(readFileSync(join(await folderOf("calm"), "state.json"), "utf8"));
  process.kill(monitor.pid, "SIGSTOP");
  const client = host.spawn("exec", "calm", "true");
  await Bun.sleep(300);
  client.kill("SIGKILL");
  await client.exited;
  process.kill(monitor.pid, "SIGCONT");
  await Bun.sleep(200);
  expect(await inspect("calm", "{{.State.Status}}")).toBe("running");
  expect((await host.pod("exec", "calm", "echo", "fine")).stdout).toBe("fine\n");
  await host.must("rm", "-f", "calm");
});

test("more clients than a monitor has descriptors for are turned away, and the container goes on", async () => {
  await runDetached("few", "sleep 600");
  const { monitor } = JSON.parse(readFileSync(join(await folderOf("few"), "state.json"), "utf8"));
  const used = readdirSync(`/proc/${monitor.pid}/fd`).length;
  const limit = (count: number) => Bun.spawnSync(["prlimit", `--pid=${monitor.pid}`, `--nofile=${count}:`]).exitCode;
  expect(limit(used + 3)).toBe(0);
  const clients = Array.from({ length: 10 }, () => host.spawn("attach", "few"));
  await Bun.sleep(1000);
  for (const client of clients) client.kill("SIGKILL");
  await Promise.all(clients.map(({ exited }) => exited));
  expect(limit(500)).toBe(0);
  expect(await inspect("few", "{{.State.Status}}")).toBe("running");
  expect((await host.pod("exec", "few", "echo", "fine")).stdout).toBe("fine\n");
  await host.must("rm", "-f", "few");
});

test("pause stops a container that forks for ever, or gives up and lets it go on; rm -f ends it", async () => {
  const script = "printf '#!/bin/sh\\n/f &\\nexit\\n' >/f; chmod +x /f; /f; while :; do sleep .1; done";
  await runDetached("chain", script, "--init");
  for (let round = 0; round < 3; round++) {
    const { code, stderr } = await host.podWith({ timeoutSeconds: 10 }, "pause", "chain");
    if (code === 0) await host.must("unpause", "chain");
    else expect(stderr).toContain("they make new ones faster than they can be stopped");
  }
  await host.must("rm", "-f", "chain");
});

test.each(["ln -s /dev/zero", "mkfifo", "mkdir", "truncate -s 10G", "ln -s passwd", "ln -s /proc/1/fd/0"])(
  "a passwd file made by `%s` costs no memory, and exec goes on",
  async (make) => {
    await runDetached("users", `rm /etc/passwd; ${make} /etc/passwd; sleep 600`);
    await Bun.sleep(200);
    expect((await host.pod("exec", "users", "echo", "fine")).stdout).toBe("fine\n");
    await host.must("rm", "-f", "users");
  },
);

test.each(["", "null", "{}", "{"])(
  "a state.json that is %j hides no container, and rm and reset work",
  async (content) => {
    await host.must("create", "--name", "broken", "starter", "true");
    writeFileSync(join(await folderOf("broken"), "state.json"), content);
    expect(await host.must("ps", "-a", "--format", "{{.Names}} {{.Status}}")).toMatch(/^broken Exited \(125\)/);
    expect(await inspect("broken", "{{.State.Error}}")).toBe("its state.json is damaged");
    await host.must("rm", "broken");
  },
);

test.each(["", "null", "{}", "[]", '{"version": 1, "id": "'])(
  "a container.json that is %j hides no other container, and rm and reset work",
  async (content) => {
    await host.must("create", "--name", "whole", "starter", "true");
    await host.must("run", "-d", "--name", "broken", "--network", "none", "starter", "sleep", "600");
    const folder = await folderOf("broken");
    const id = basename(folder).slice(0, 12);
    writeFileSync(join(folder, "container.json"), content);
    const warning = expect.stringContaining(`warning: container ${id}: its container.json is damaged`);
    expect(await host.pod("ps", "-a", "--format", "{{.Names}}")).toMatchObject({
      code: 0,
      stdout: "whole\n",
      stderr: warning,
    });
    await host.must("run", "--rm", "--network", "none", "starter", "true");
    await host.must("system", "df");
    await host.must("info");
    await host.must("container", "prune", "-f");
    expect(await host.pod("system", "check")).toMatchObject({ code: 1, stdout: expect.stringContaining(id) });
    expect(await host.pod("logs", "broken")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`pod rm ${id}`),
    });
    expect(await host.pod("create", "--name", "broken", "starter")).toMatchObject({ code: 125 });
    expect(await host.pod("rm", "broken")).toMatchObject({ code: 1, stderr: expect.stringContaining("it runs") });
    await host.must("rm", "-f", id);
    await host.must("create", "--name", "broken", "starter");
    await host.must("rm", "broken");
    expect(await host.leftoversWithoutImages()).toEqual([]);
  },
);

test("reset removes a container whose record is damaged, also one that runs", async () => {
  const other = await newHost();
  await other.must("run", "-d", "--name", "broken", "--network", "none", "starter", "sleep", "600");
  const [id] = readdirSync(join(other.dataDir, "containers"));
  writeFileSync(join(other.dataDir, "containers", id!, "container.json"), "null");
  await other.must("create", "--name", "whole", "starter");
  await other.close(); // resets, and finds what is left
});

test("an environment of 300 KB arrives", async () => {
  const options = Array.from({ length: 600 }, (_, i) => ["-e", `V${i}=${"x".repeat(500)}`]).flat();
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell's
  expect(await host.must(...quietRun, ...options, "starter", "sh", "-c", "echo ${#V599}")).toBe("500");
});

test("rm beside cp, commit and diff leaves no folder, and the others say that there is no such container", async () => {
  for (let round = 0; round < 6; round++) {
    await host.must("create", "--name", "gone", "starter", "true");
    const others = ["cp gone:/bin/busybox one", "cp gone:/bin/busybox two", "commit gone"].map((words) =>
      host.pod(...words.split(" ")),
    );
    await Bun.sleep(round * 10);
    await host.must("rm", "-f", "gone");
    const [one, two] = await Promise.all(others);
    for (const { code, stderr } of [one!, two!]) if (code) expect(stderr).toContain("No such container: gone");
  }
  expect(readdirSync(join(host.dataDir, "containers"))).toEqual([]);
});

test("commands that look into one container at once take turns, and so does its start", async () => {
  await host.must("create", "--name", "shared", "starter", "true");
  for (let round = 0; round < 10; round++) {
    const copies = ["one", "two", "three"].map((name) => host.pod("cp", "shared:/bin/busybox", name));
    const results = await Promise.all([...copies, host.pod("start", "-a", "shared")]);
    for (const { code, stderr } of results) expect({ code, stderr }).toMatchObject({ code: 0 });
  }
  await host.must("rm", "-f", "shared");
});

test("a container that stops what is started in it stops neither its health checks nor Ctrl-C of exec", async () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell's
  const others = "for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p -gt 3 ] && [ $p != $$ ] && kill -STOP $p; done";
  const health = [
    "--health-cmd",
    "true",
    "--health-interval",
    "50ms",
    "--health-timeout",
    "100ms",
    "--health-retries",
    "1",
  ];
  await runDetached("stopper", `while :; do ${others}; done`, ...health);
  for (let i = 0; i < 200 && (await inspect("stopper", "{{.State.Health.Status}}")) !== "unhealthy"; i++)
    await Bun.sleep(50);
  expect(await inspect("stopper", "{{.State.Health.Status}}")).toBe("unhealthy");
  const exec = host.spawn("exec", "stopper", "sleep", "600");
  await Bun.sleep(500);
  exec.kill("SIGTERM");
  await exec.exited;
  await host.must("rm", "-f", "stopper");
});

test("--cidfile that can't be made leaves no container", async () => {
  const { code, stderr } = await host.pod("create", "--cidfile", "/nonexistent/id", "starter");
  expect({ code, stderr }).toEqual({
    code: 125,
    stderr: expect.stringContaining("failed to create the container ID file"),
  });
  expect((await host.pod("create", "--cidfile", "id", "nosuch.invalid/image", "true")).code).toBe(125);
  expect(existsSync(join(host.work, "id"))).toBe(false);
  expect(await host.must("ps", "-aq")).toBe("");
});

test("a monitor that hangs as it is made is ended after some seconds, and another runs the container", async () => {
  for (let round = 0; round < 5; round++) {
    const child = host.spawn(...quietRun, "starter", "echo", "hello");
    const children = `/proc/${child.pid}/task/${child.pid}/children`;
    let monitor = 0;
    while (!monitor && child.exitCode === null) monitor = Number.parseInt(readFileSync(children, "utf8"), 10) || 0;
    process.kill(monitor, "SIGSTOP");
    const output = child.stdout.text();
    if ((await Promise.race([output, Bun.sleep(12_000)])) === "hello\n") return;
    process.kill(monitor, "SIGCONT"); // it was past that already
    await child.exited;
  }
  throw new Error("no monitor was stopped in time");
}, 120_000);

test("what is loaded before the user's namespace is entered is so little that the engine makes no threads before", async () => {
  const names = Array.from({ length: 10 }, (_, i) => `early${i}`);
  for (const name of names) await host.must("run", "-d", "--name", name, "--network", "none", "starter", "sleep", "60");
  const pids = await host.must("inspect", "-f", "{{.Id}}", ...names);
  const isFresh = (id: string) => {
    const { monitor } = JSON.parse(readFileSync(join(host.dataDir, "containers", id, "state.json"), "utf8"));
    return readFileSync(`/proc/${monitor.pid}/environ`, "utf8").includes("BUN_JSC_"); // executed anew: src/waiting.ts
  };
  expect(pids.split("\n").filter(isFresh).length).toBeLessThan(4); // some do on a busy machine
  await host.must("rm", "-f", ...names);
});
