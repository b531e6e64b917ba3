import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Host, requires } from "./harness.ts";

setDefaultTimeout(60_000);
const host = new Host();
beforeAll(async () => {
  host.open();
  await host.must("pull", "--quiet", "starter");
});
afterAll(() => host.close(), 60_000);

const events = (...args: string[]) => host.must("events", "--since", "1h", "--until", "0s", ...args);
const actions = async (...args: string[]) => (await events("--format", "{{.Type}} {{.Action}}", ...args)).split("\n");

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 10_000; !(await isTrue()); await Bun.sleep(20)) {
    if (performance.now() > deadline) throw new Error("ten seconds have passed");
  }
}

test("a container's life is told in Docker's words and attributes", async () => {
  const options = ["--network", "none", "--name", "web", "-l", "stage=test"];
  await host.pod("run", "--rm", ...options, "starter", "sh", "-c", "exit 3");
  const lines = (await events("-f", "container=web")).split("\n");
  const time = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{9}(Z|[+-]\\d\\d:\\d\\d)";
  const told = lines.map((line) => line.replace(new RegExp(`^${time} container (\\w+) [0-9a-f]{64} `), "$2 "));
  const common = "image=starter, name=web, stage=test";
  expect(told).toEqual([
    `create (${common})`,
    `attach (${common})`,
    `start (${common})`,
    `die (exitCode=3, ${common})`,
    `destroy (${common})`,
  ]);
});

test("what is done to a container is told", async () => {
  await host.must("run", "-d", "--name", "busy", "--network", "none", "starter", "sleep", "100");
  await host.must("exec", "busy", "true");
  for (const verb of ["pause", "unpause"]) await host.must(verb, "busy");
  await host.must("cp", "busy:/etc/passwd", host.work);
  await host.must("stop", "-t", "0", "busy");
  await host.must("commit", "busy", "made");
  await host.must("restart", "busy");
  await host.must("rename", "busy", "idle"); // also for its monitor
  await host.must("rm", "-f", "idle");
  const told = (await events("--format", "{{.Action}}", "-f", "type=container", "-f", "container=busy")).split("\n");
  const stops = ["kill", "kill", "die", "stop"];
  const before = [
    "create",
    "start",
    "exec_create: true",
    "exec_start: true",
    "exec_die",
    "pause",
    "unpause",
    "archive-path",
  ];
  expect(told).toEqual([...before, ...stops, "commit", "start", "restart"]);
  const renamed = await events("--format", "{{.Action}}", "-f", "container=idle");
  expect(renamed.split("\n")).toEqual(["rename", "kill", "die", "destroy"]);
});

test("an exec is told of to its end, also where nobody waits for it, or the command is killed", async () => {
  await host.must("run", "-d", "--name", "execs", "--network", "none", "starter", "sleep", "100");
  const told = () =>
    events("-f", "container=execs", "-f", "event=exec_die", "--format", "{{.Actor.Attributes.exitCode}}");
  await host.must("exec", "-d", "execs", "sh", "-c", "exit 5");
  await until(async () => (await told()) === "5");
  const waiting = host.spawn("exec", "execs", "sleep", "0.5");
  await until(async () => (await events("-f", "event=exec_start: sleep 0.5")) !== "");
  waiting.kill("SIGKILL");
  await until(async () => (await told()) === "5\n0");
  await host.pod("exec", "execs", "nosuch");
  expect(await told()).toBe("5\n0\n127");
  await host.must("exec", "-d", "execs", "sleep", "50");
  await host.must("rm", "-f", "execs");
  expect(await told()).toBe("5\n0\n127\n137");
  const format = "{{.Action}} {{.Actor.Attributes.execID}}";
  const lines = (await events("-f", "container=execs", "--format", format)).split("\n");
  const ids = lines.flatMap((line) => /^exec_.* ([0-9a-f]{64})$/.exec(line)?.[1] ?? []);
  expect([ids.length, new Set(ids).size]).toEqual([12, 4]); // created, started and ended
});

test("so is a health check, by Docker's words for it", async () => {
  const health = ["--health-cmd", "exit 1", "--health-interval", "100ms"];
  await host.must("run", "-d", "--name", "checked", "--network", "none", ...health, "starter", "sleep", "100");
  const told = async () => (await events("-f", "container=checked", "--format", "{{.Action}}")).split("\n");
  await until(async () => (await told()).includes("exec_die"));
  await host.must("rm", "-f", "checked");
  const check = ["exec_create: /bin/sh -c exit 1", "exec_start: /bin/sh -c exit 1", "exec_die"];
  expect((await told()).slice(0, 5)).toEqual(["create", "start", ...check]);
});

test("a container's network is told of: before its start, and after its end", async () => {
  await host.must("run", "--rm", "--network", "host", "--name", "net", "starter", "true");
  await host.pod("run", "--rm", "--network", "none", "--name", "dead", "starter", "nosuch"); // has none
  const format = "{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}";
  const life = (await events("--format", format)).split("\n").filter((line) => / (host|net) /.test(line));
  expect(life.map((line) => line.replace(/ [0-9a-f]{64} .*/, ""))).toEqual([
    "container create",
    "container attach",
    "network connect host host host",
    "container start",
    "container die",
    "network disconnect host host host",
    "container destroy",
  ]);
  expect(await actions("-f", "type=network", "-f", "network=host")).toEqual(["network connect", "network disconnect"]);
});

requires("/dev/net/tun").test("so is each network that it is in, also where it comes or goes later", async () => {
  for (const name of ["one", "two"]) await host.must("network", "create", "--internal", name);
  await host.must("run", "-d", "--network", "one", "--name", "member", "starter", "sleep", "100");
  await host.must("network", "connect", "two", "member");
  await host.must("network", "disconnect", "one", "member");
  await host.must("run", "--rm", "--network", "container:member", "starter", "true"); // that is the other's
  await host.must("rm", "-f", "member");
  const told = (await events("--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}")).split("\n");
  expect(told.filter((line) => / (one|two|member)$/.test(line))).toEqual([
    "network create one",
    "network create two",
    "container create member",
    "network connect one",
    "container start member",
    "network connect two",
    "network disconnect one",
    "container kill member",
    "container die member",
    "network disconnect two",
    "container destroy member",
  ]);
});

test("images are told of too, and filters choose", async () => {
  await host.must("tag", "starter", "quay.io/a/b:1");
  await host.must("save", "-o", join(host.work, "saved.tar"), "quay.io/a/b:1");
  await host.must("rmi", "quay.io/a/b:1");
  await host.must("load", "-q", "-i", join(host.work, "saved.tar"));
  expect(await actions("-f", "type=image")).toEqual(["image tag", "image untag", "image load"]);
  expect(await actions("-f", "image=quay.io/a/b:1", "-f", "event=tag")).toEqual(["image tag"]);
  expect(await actions("-f", "label=stage=test", "-f", "event=die")).toEqual(["container die"]);
  expect(await actions("-f", "event=tag", "-f", "event=load")).toEqual(["image tag", "image load"]);
  const [event] = (await events("--format", "json", "-f", "event=die")).split("\n").map((line) => JSON.parse(line));
  expect(event).toMatchObject({
    status: "die",
    from: "starter",
    Type: "container",
    Action: "die",
    Actor: { Attributes: { exitCode: "3", image: "starter", name: "web", stage: "test" } },
    scope: "local",
  });
  expect(await host.pod("events", "-f", "colour=red")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("invalid filter 'colour'"),
  });
});

test("who follows hears of what comes only, as it comes, also while the file is replaced; the old one is bounded", async () => {
  const file = join(host.dataDir, "events");
  const line = `${JSON.stringify({ type: "image", action: "pull", id: "x", attributes: {}, timeNs: "1" })}\n`;
  writeFileSync(file, line.repeat(Math.floor((1 << 20) / line.length)));
  const follower = host.spawn("events", "--format", "{{.Action}}");
  const reader = follower.stdout.getReader();
  let heard = "";
  const hear = async (text: string) => {
    while (!heard.includes(text)) heard += Buffer.from((await reader.read()).value ?? []).toString();
  };
  await Bun.sleep(300);
  await host.must("tag", "starter", "one:1");
  await hear("tag\n");
  await host.must("untag", "starter", "one:1");
  await hear("untag\n");
  follower.kill();
  await follower.exited;
  expect(heard).toBe("tag\nuntag\n");
  expect(existsSync(`${file}.old`)).toBe(true);
  expect(statSync(file).size).toBeLessThan(1000);
});

test("who follows misses none of many that come at once", async () => {
  const follower = host.spawn("events", "--format", "{{.Action}}", "-f", "type=container");
  await Bun.sleep(300);
  for (let i = 0; i < 8; i++) await host.must("run", "--rm", "--network", "none", "starter", "true");
  await Bun.sleep(200);
  follower.kill();
  const heard = (await follower.stdout.text()).trim().split("\n");
  expect(heard).toEqual(Array(8).fill(["create", "attach", "start", "die", "destroy"]).flat());
});

test("--until ends it, at once where that is past", async () => {
  const before = Date.now();
  expect(await host.must("events", "--until", "1s")).toBe("");
  expect(Date.now() - before).toBeLessThan(1000);
  const later = String(Date.now() / 1000 + 1.5);
  expect(await host.must("events", "--until", later)).toBe("");
  expect(Date.now() - before).toBeGreaterThan(1400);
});
