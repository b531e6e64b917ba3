/** A container's control group, and its freezer. scripts/as-user gives the tests a control group of their user's own. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ownCgroup } from "./cgroups.ts";
import { Host, requires } from "./harness.ts";

setDefaultTimeout(60_000);
const host = new Host();
beforeAll(async () => {
  host.open();
  await host.must("pull", "--quiet", "starter");
});
afterAll(() => host.close(), 60_000);

const delegated = requires("a control group of the user's own");
const runDetached = (name: string, script: string, ...options: string[]) =>
  host.must("run", "-d", "--name", name, "--network", "none", ...options, "starter", "sh", "-c", script);
const stateOf = async (name: string) => {
  const id = await host.must("inspect", "-f", "{{.Id}}", name);
  return JSON.parse(readFileSync(join(host.dataDir, "containers", id, "state.json"), "utf8"));
};
const groups = () => readdirSync(ownCgroup()!).filter((name) => /^pod-\d/.test(name));
const events = (group: string) => readFileSync(join(group, "cgroup.events"), "utf8");
const processesIn = (group: string) =>
  readFileSync(join(group, "cgroup.procs"), "utf8").trim().split("\n").filter(Boolean);

/** Whether these grow within some time; each is read after the other, so that none is in the middle of a change. */
async function grow(...sizes: (() => number | Promise<number>)[]): Promise<boolean[]> {
  const read = () => Promise.all(sizes.map((size) => size()));
  await Bun.sleep(100); // what was written before is on its way to the log
  const before = await read();
  await Bun.sleep(300);
  return (await read()).map((size, index) => size > before[index]!);
}
const logSize = (name: string) => async () => (await host.must("logs", name)).length;
const fileSize = (name: string) => () => statSync(join(host.work, name)).size;

delegated.test(
  "pause freezes processes that fork, and those that exec has started; unpause lets all go on",
  async () => {
    await runDetached("busy", "while :; do sh -c 'echo x'; done", "-v", `${host.work}:/w`);
    await host.must("exec", "-d", "busy", "sh", "-c", "while :; do sh -c 'echo y' >>/w/y; done");
    await Bun.sleep(200);
    const { cgroup } = await stateOf("busy");
    expect(processesIn(cgroup).length).toBeGreaterThan(1);
    expect(await host.pod("pause", "busy")).toEqual(expect.objectContaining({ code: 0, stdout: "busy\n", stderr: "" }));
    expect(events(cgroup)).toContain("frozen 1");
    expect(await grow(logSize("busy"), fileSize("y"))).toEqual([false, false]);
    await host.must("unpause", "busy");
    expect(await grow(logSize("busy"), fileSize("y"))).toEqual([true, true]);
    await host.must("pause", "busy");
    await host.must("rm", "-f", "busy");
    expect(groups()).toEqual([]);
  },
);

delegated.test("a process that is stopped inside stays so when the container goes on", async () => {
  await runDetached("jobs", "sleep 600 & kill -STOP $!; echo $!; wait");
  for (const verb of ["pause", "unpause"]) await host.must(verb, "jobs");
  const pid = await host.must("logs", "jobs");
  expect(await host.must("exec", "jobs", "cut", "-d", " ", "-f", "3", `/proc/${pid}/stat`)).toBe("T");
  await host.must("rm", "-f", "jobs");
});

delegated.test("health checks run in it; its processes see it as the root of all control groups", async () => {
  await runDetached("checked", "sleep 600", "--health-cmd", "sleep 30", "--health-interval", "100ms");
  const { cgroup } = await stateOf("checked");
  const deadline = performance.now() + 10_000;
  while (processesIn(cgroup).length < 2 && performance.now() < deadline) await Bun.sleep(20);
  expect(processesIn(cgroup).length).toBeGreaterThan(1);
  expect(await host.must("exec", "checked", "grep", "^0:", "/proc/self/cgroup", "/proc/1/cgroup")).toBe(
    "/proc/self/cgroup:0::/\n/proc/1/cgroup:0::/",
  );
  await host.must("rm", "-f", "checked");
  expect(groups()).toEqual([]);
});

delegated.test(
  "a new run of a restart policy has one, and an end, a stop and a run of nothing leave none",
  async () => {
    await runDetached("again", "sleep 0.1", "--restart", "always");
    const deadline = performance.now() + 20_000;
    const count = () => host.must("inspect", "-f", "{{.RestartCount}}", "again");
    while (Number(await count()) < 3 && performance.now() < deadline) await Bun.sleep(50);
    expect(Number(await count())).toBeGreaterThan(2);
    await host.must("stop", "-t", "0", "again");
    expect((await stateOf("again")).cgroup).toBeUndefined();
    expect(groups()).toEqual([]);
    await host.must("start", "again");
    expect(groups()).toHaveLength(1);
    await host.must("rm", "-f", "again");
    expect((await host.pod("run", "--pull", "never", "nosuch")).code).toBe(125);
    expect((await host.pod("run", "--rm", "starter", "nosuch")).code).toBe(127);
    expect(await host.leftoversWithoutImages()).toEqual([]);
  },
);

delegated.test(
  "after SIGKILL of a paused container's monitor, and of one without a record, the next command removes them",
  async () => {
    await runDetached("killed", "sleep 600");
    await host.must("pause", "killed");
    const { cgroup, monitor, init } = await stateOf("killed");
    const others = [4194303, process.pid].map((pid) => join(ownCgroup()!, `pod-${pid}`)); // the greatest pid is one above
    for (const path of others) mkdirSync(path);
    for (const { pid } of [monitor, init]) process.kill(pid, "SIGKILL");
    await Bun.sleep(100);
    await host.pod("rm", "-f", "nosuch");
    expect([cgroup, ...others].map((path) => existsSync(path))).toEqual([false, false, true]);
    rmdirSync(others[1]!);
    expect((await stateOf("killed")).cgroup).toBeUndefined();
    await host.must("rm", "killed");
  },
);

delegated.test(
  "what exec starts from another session can't be born there: pause stops it by SIGSTOP, and says so",
  async () => {
    await runDetached("mixed", "while :; do echo x; sleep 0.01; done", "-v", `${host.work}:/w`);
    const loop = "while :; do echo z >>/w/z; sleep 0.01; done";
    expect((await host.podOutside("exec", "-d", "mixed", "sh", "-c", loop)).code).toBe(0);
    await Bun.sleep(100);
    expect((await host.pod("pause", "mixed")).stderr).toContain("mixed is paused by SIGSTOP");
    expect(await grow(logSize("mixed"), fileSize("z"))).toEqual([false, false]);
    await host.must("unpause", "mixed");
    expect(await grow(logSize("mixed"), fileSize("z"))).toEqual([true, true]);
    await host.must("rm", "-f", "mixed");
  },
);

delegated.test("a container in another one's network has one too, and leaves none where it can't start", async () => {
  await runDetached("lender", "sleep 600");
  const guest = ["--network", "container:lender", "starter", "sleep", "600"];
  await host.must("run", "-d", "--name", "guest", ...guest);
  const { cgroup, monitor } = await stateOf("guest");
  expect(cgroup).toBe(join(ownCgroup()!, `pod-${monitor.pid}`));
  expect(processesIn(cgroup)).toHaveLength(1);
  await host.must("pause", "guest");
  expect(events(cgroup)).toContain("frozen 1");
  await host.must("rm", "-f", "guest");
  await host.must("stop", "-t", "0", "lender");
  expect((await host.pod("run", "--rm", ...guest)).stderr).toContain("cannot join network of a non running container");
  expect(groups()).toEqual([]);
  await host.must("rm", "lender");
});

delegated.test("commit freezes it meanwhile, and a command that dies before it has ended lets it go on", async () => {
  await runDetached("held", "head -c 300000000 /dev/zero >/big; while :; do echo x; sleep 0.01; done");
  const { cgroup } = await stateOf("held");
  while ((await logSize("held")()) === 0) await Bun.sleep(50);
  const child = host.spawn("commit", "held", "image");
  while (child.exitCode === null && !events(cgroup).includes("frozen 1")) await Bun.sleep(1);
  expect(child.exitCode).toBeNull();
  child.kill("SIGKILL");
  await child.exited;
  await Bun.sleep(100);
  expect(await grow(logSize("held"))).toEqual([true]);
  await host.must("rm", "-f", "held");
});

delegated.test("info and --explain name the place", async () => {
  expect(await host.must("info", "-f", "{{.CgroupDriver}} {{.CgroupParent}}")).toBe(`cgroupfs ${ownCgroup()}`);
  const text = await host.must("run", "--explain", "starter", "true");
  expect(text).toContain(`mkdir ${ownCgroup()}/pod-PID\n`);
});

test("where there is none SIGSTOP does it, which is said, with the reason in info and --explain", async () => {
  const loop = "while :; do echo x; sleep 0.01; done";
  await host.podOutside("run", "-d", "--name", "plain", "--network", "none", "starter", "sh", "-c", loop);
  expect((await stateOf("plain")).cgroup).toBeUndefined();
  const { code, stdout, stderr } = await host.pod("pause", "plain");
  expect({ code, stdout }).toEqual({ code: 0, stdout: "plain\n" });
  expect(stderr).toBe(
    "pod: plain is paused by SIGSTOP, which its processes can notice: they have no control group of their own; `pod info` says why\n",
  );
  expect(await grow(logSize("plain"))).toEqual([false]);
  await host.must("unpause", "plain");
  expect(await grow(logSize("plain"))).toEqual([true]);
  await host.must("rm", "-f", "plain");
  const why = /there is no cgroup v2 here|is not yours to divide/;
  const info = await host.podOutside("info", "-f", "{{.CgroupDriver}}: {{.CgroupMissing}}");
  expect(info.stdout).toMatch(why);
  expect((await host.podOutside("run", "--explain", "starter", "true")).stdout).toMatch(why);
});
