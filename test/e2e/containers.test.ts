import { afterEach, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { onBothDrivers, type Result } from "./harness.ts";

onBothDrivers("ps, inspect and rm", (host) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));
  afterEach(async () => {
    const all = (await host.must("ps", "-aq")).split("\n").filter(Boolean);
    if (all.length) await host.must("rm", "-f", ...all);
  });

  const start = (name: string, ...command: string[]) =>
    host.must(
      "run",
      "-d",
      "--network",
      "none",
      "--name",
      name,
      "starter",
      ...(command.length ? command : ["sleep", "60"]),
    );
  const finished = async (name: string, script: string) =>
    await host.pod("run", "--network", "none", "--name", name, "starter", "sh", "-c", script);

  test("without containers ps prints its head only, in Docker's columns", async () => {
    expect(await host.must("ps")).toBe("CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES");
    expect(await host.must("ps", "-a")).toBe(await host.must("ps"));
  });

  test("a container whose image has lost its name is shown with the image's id", async () => {
    await host.must("tag", "starter", "passing:1");
    await host.must("run", "--name", "nameless", "--network", "none", "passing:1", "true");
    await host.must("rmi", "starter");
    const image = () => host.must("ps", "-a", "-f", "name=nameless", "--format", "{{.Image}}");
    expect(await image()).toBe("passing:1");
    const id = (await host.must("image", "inspect", "-f", "{{.Id}}", "passing:1")).slice(7, 19);
    await host.must("rmi", "-f", "passing:1");
    expect(await image()).toBe(id);
    await host.must("rm", "nameless");
    await host.must("pull", "-q", "starter");
  });

  test("ps shows what runs, ps -a all, newest first, with Docker's status words", async () => {
    await finished("first", "exit 3");
    const id = await start("second", "sleep", "60");
    const [head, ...rows] = (await host.must("ps")).split("\n");
    expect(head).toStartWith("CONTAINER ID   IMAGE     COMMAND ");
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatch(
      new RegExp(
        `^${id.slice(0, 12)}   starter   "sleep 60"   (Less than a second|\\d+ seconds?|About a minute) ago +Up \\S.*? +second$`,
      ),
    );
    const all = await host.must("ps", "-a", "--format", "{{.Names}}|{{.Status}}|{{.State}}|{{.Image}}|{{.Command}}");
    const [second, first, ...more] = all.split("\n") as [string, string];
    expect(more).toEqual([]);
    expect(second).toMatch(/^second\|Up .*\|running\|starter\|"sleep 60"$/);
    expect(first).toMatch(
      /^first\|Exited \(3\) .* ago\|exited\|starter\|"sh -c 'exit 3'"$|^first\|Exited \(3\) .* ago\|exited\|starter\|"sh -c exit 3"$/,
    );
  });

  test("ps -q, --no-trunc, -l, -n, --filter and --format json", async () => {
    const one = await start("one");
    await finished("two", "true");
    expect(await host.must("ps", "-q")).toBe(one.slice(0, 12));
    expect(await host.must("ps", "-q", "--no-trunc")).toBe(one);
    expect(await host.must("ps", "-l", "--format", "{{.Names}}")).toBe("two");
    expect(await host.must("ps", "-n", "5", "--format", "{{.Names}}")).toBe("two\none");
    expect(await host.must("ps", "-a", "-f", "status=exited", "--format", "{{.Names}}")).toBe("two");
    expect(await host.must("ps", "-a", "-f", "name=^one$", "--format", "{{.Names}}")).toBe("one");
    expect(JSON.parse(await host.must("ps", "--format", "json"))).toMatchObject({ ID: one.slice(0, 12), Names: "one" });
    const unknown = await host.pod("ps", "--format", "{{.Nope}}");
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain("Nope");
  });

  test("inspect tells a container's state, configuration and mounts", async () => {
    const options = ["-e", "A=1", "-w", "/tmp", "-u", "7", "-l", "x=y", "-v", "./m:/m:ro", "--read-only", "-h", "box"];
    const id = await host.must(
      "run",
      "-d",
      "--network",
      "none",
      "--name",
      "seen",
      ...options,
      "starter",
      "sleep",
      "60",
    );
    const [object] = JSON.parse(await host.must("inspect", "seen"));
    expect(object).toMatchObject({
      Id: id,
      Name: "/seen",
      State: { Status: "running", Running: true, ExitCode: 0 },
      Config: {
        Hostname: "box",
        User: "7",
        WorkingDir: "/tmp",
        Cmd: ["sleep", "60"],
        Image: "starter",
        Labels: { x: "y" },
      },
      HostConfig: { NetworkMode: "none", ReadonlyRootfs: true },
    });
    expect(object.Config.Env).toContain("A=1");
    expect(object.Mounts).toMatchObject([{ Type: "bind", Source: join(host.work, "m"), Destination: "/m", RW: false }]);
    expect(object.State.Pid).toBeGreaterThan(1);
    expect(await host.must("inspect", "-f", "{{.State.Status}} {{.Name}}", id.slice(0, 5))).toBe("running /seen");
    expect(await host.must("inspect", "--format", "{{json .Config.Cmd}}", "seen")).toBe('["sleep","60"]');
  });

  test("inspect of an ended container has its exit code and times", async () => {
    await finished("ended", "exit 42");
    const { State } = JSON.parse(await host.must("inspect", "ended"))[0];
    expect(State).toMatchObject({ Status: "exited", Running: false, Pid: 0, ExitCode: 42 });
    expect(Date.parse(State.FinishedAt)).toBeGreaterThanOrEqual(Date.parse(State.StartedAt));
  });

  test("inspect of what is not there prints [] and Docker's error, and what is there all the same", async () => {
    const none = await host.pod("inspect", "nosuch");
    expect({ code: none.code, stdout: none.stdout }).toEqual({ code: 1, stdout: "[]\n" });
    expect(none.stderr.toLowerCase()).toContain("error: no such object: nosuch");
    await finished("there", "true");
    const some = await host.pod("inspect", "nosuch", "there");
    expect(some.code).toBe(1);
    expect(JSON.parse(some.stdout)).toHaveLength(1);
  });

  test("rm removes by name, id and the beginning of an id, and echoes what was given", async () => {
    await finished("a1", "true");
    await finished("a2", "true");
    const id = await host.must("inspect", "-f", "{{.Id}}", "a2");
    expect(await host.must("rm", "a1", id.slice(0, 10))).toBe(`a1\n${id.slice(0, 10)}`);
    expect(await host.must("ps", "-aq")).toBe("");
    expect(readdirSync(join(host.dataDir, "containers"))).toEqual([]);
    expect(readdirSync(join(host.dataDir, "names"))).toEqual([]);
  });

  test("rm refuses a running container in Docker's words; -f ends it", async () => {
    await start("busy");
    const { code, stdout, stderr } = await host.pod("rm", "busy");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toStartWith(
      'pod: cannot remove container "/busy": container is running: stop the container before removing or force remove\n',
    );
    expect(await host.must("rm", "-f", "busy")).toBe("busy");
    expect(await host.must("ps", "-aq")).toBe("");
  });

  test("rm does what it can and fails for the rest; -f makes an unknown name no failure", async () => {
    await finished("known", "true");
    const { code, stdout, stderr } = await host.pod("rm", "nosuch", "known");
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: "known\n",
      stderr: "pod: No such container: nosuch\n",
    });
    expect((await host.pod("rm", "-f", "nosuch")).code).toBe(0);
    expect((await host.pod("rm")).code).toBe(1);
  });

  test("a name in use is Docker's conflict, with exit code 125", async () => {
    await finished("taken", "true");
    const id = await host.must("inspect", "-f", "{{.Id}}", "taken");
    const { code, stdout, stderr } = await host.pod("run", "--network", "none", "--name", "taken", "starter", "true");
    expect({ code, stdout }).toEqual({ code: 125, stdout: "" });
    expect(stderr).toContain(
      `Conflict. The container name "/taken" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
    );
    await host.must("rm", "taken");
    expect((await finished("taken", "true")).code).toBe(0);
  });

  test("two runs of one name at once: one wins, the other is told", async () => {
    const codes = await Promise.all([1, 2, 3, 4].map(() => finished("race", "sleep 0.2").then(({ code }) => code)));
    expect(codes.toSorted()).toEqual([0, 125, 125, 125]);
  });

  test("eight runs at once all work", async () => {
    const numbers = Array.from({ length: 32 }, (_, index) => index % 8); // one in a thousand takes the slow way in
    const results: Result[] = [];
    for (let round = 0; round < numbers.length; round += 8) {
      const eight = numbers.slice(round, round + 8);
      results.push(...(await Promise.all(eight.map((number) => host.sh(`echo ${number}; exit ${number}`)))));
    }
    const told = results.map(({ code, stdout, stderr }) => [code, stdout, stderr]);
    expect(told).toEqual(numbers.map((number) => [number, `${number}\n`, ""]));
  });

  test("nothing of ended and removed containers is left", async () => {
    await start("gone");
    await host.must("rm", "-f", "gone");
    await host.must("run", "--rm", "--network", "none", "starter", "true");
    await host.pod("run", "--rm", "--network", "none", "starter", "nosuch");
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });
});
