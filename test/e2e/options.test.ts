import { beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { onBothDrivers, quietRun } from "./harness.ts";

onBothDrivers("options of pod run", (host) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));

  test("parsing stops at the image: what follows is the command's", async () => {
    const { code, stdout } = await host.pod(...quietRun, "starter", "echo", "--name", "x", "-d", "--", "--rm");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "--name x -d -- --rm\n" });
  });

  test("-- before the image ends the options too", async () => {
    expect(await host.must(...quietRun, "--", "starter", "echo", "-x")).toBe("-x");
  });

  test("joined short options, joined values and --name=value all work", async () => {
    const options = ["-iuroot", "-eONE=1", "-e=TWO=2", "--env=THREE=3", "--rm=true"];
    expect(await host.shOutput("id -un; echo $ONE$TWO$THREE", ...options)).toBe("root\n123");
  });

  test("of an option given twice the last one counts", async () => {
    expect(await host.shOutput("hostname", "-h", "one", "--hostname", "two")).toBe("two");
  });

  test("--rm=false keeps the container", async () => {
    await host.must("run", "--rm=false", "--name", "kept", "--network", "none", "starter", "true");
    expect(await host.must("ps", "-a", "--format", "{{.Names}}")).toBe("kept");
    expect(await host.must("rm", "kept")).toBe("kept");
  });

  test("an unknown option is an error that names a near one", async () => {
    const { code, stdout, stderr } = await host.pod("run", "--entripoint", "x", "starter");
    expect({ code, stdout }).toEqual({ code: 125, stdout: "" });
    expect(stderr).toStartWith("pod: unknown flag: --entripoint\nhint: did you mean --entrypoint?\n");
    expect(stderr).toContain("Usage:  pod run [OPTIONS] IMAGE [COMMAND] [ARG...]");
  });

  test("an option that docker has and pod has not yet is told apart from a typing error", async () => {
    for (const option of ["--ulimit=nofile=9", "--memory", "-m1g", "--privileged"]) {
      const { code, stderr } = await host.pod("run", option, "80:80", "starter");
      const name = option.match(/^(--[a-z]+|-.)/)![0];
      expect({ code, stderr }).toEqual({
        code: 125,
        stderr: expect.stringContaining(`pod: ${name} is not supported yet\n`),
      });
    }
  });

  test("--cidfile gets the id, and must not be there", async () => {
    const id = await host.must("create", "--cidfile", "id", "starter");
    expect(readFileSync(join(host.work, "id"), "utf8")).toBe(id);
    const { code, stderr } = await host.pod(...quietRun, "--cidfile", "id", "starter", "true");
    expect({ code, stderr }).toEqual({
      code: 125,
      stderr: "pod: container ID file found, make sure the other container isn't running or delete id\n",
    });
    await host.must("rm", id);
  });

  test("--replace takes the place of a container with the name, also of one that runs", async () => {
    const run = (...args: string[]) => host.pod("run", "-d", "--network", "none", ...args, "starter", "sleep", "60");
    await run("--name", "same");
    expect(await run("--name", "same")).toMatchObject({ code: 125 });
    expect(await run("--name", "same", "--replace")).toMatchObject({ code: 0 });
    expect(await host.must("ps", "-a", "--format", "{{.Names}}")).toBe("same");
    expect(await run("--replace")).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("cannot replace container without --name being set"),
    });
    await host.must("rm", "-f", "same");
  });

  test("--explain prints what the run then does, and runs nothing", async () => {
    const options = [
      "--name",
      "told",
      "-e",
      "A=b",
      "-v",
      ".:/x:ro",
      "--tmpfs",
      "/t",
      "--network",
      "none",
      "--read-only",
      "-u",
      "7",
    ];
    const told = JSON.parse(await host.must("run", "--explain", "--format", "json", ...options, "starter", "true"));
    expect(await host.must("ps", "-aq")).toBe("");
    await host.must("run", ...options, "starter", "true");
    const id = await host.must("inspect", "-f", "{{.Id}}", "told");
    const spec = readFileSync(join(host.dataDir, "containers", id, "config.json"), "utf8");
    const otherId = told.rootfs.target.split("/").at(-2);
    const same = JSON.stringify(told.spec).replaceAll(otherId, id).replaceAll(otherId.slice(0, 12), id.slice(0, 12));
    expect(JSON.parse(same)).toEqual(JSON.parse(spec));
    const text = await host.must("run", "--explain", "--network", "host", "starter", "echo", "hi");
    expect(text).toMatch(/^image +starter, sha256:/);
    expect(text).toContain('["echo","hi"]');
    expect(text).toContain("the host's network is shared");
    const missing = await host.pod("run", "--explain", "127.0.0.1:1/nope");
    expect(missing).toMatchObject({ code: 125, stderr: expect.stringContaining("--explain fetches nothing") });
    await host.must("rm", "told");
  });

  test("an id that is not mapped is told with the last one; SELinux's letters do nothing where there is none", async () => {
    const { code, stderr } = await host.pod(...quietRun, "-u", "2000000000", "starter", "true");
    expect(code).toBe(125);
    expect(stderr).toMatch(
      /no such id here.*\nhint: ids go up to \d+: \/etc\/subuid and \/etc\/subgid give you that many/,
    );
    expect(await host.must(...quietRun, "-v", ".:/x:Z", "-v", ".:/y:ro,z", "starter", "echo", "fine")).toBe("fine");
  });

  test("an unknown letter is an error", async () => {
    const { code, stderr } = await host.pod("run", "-itX", "starter");
    expect(code).toBe(125);
    expect(stderr).toStartWith("pod: unknown shorthand flag: 'X' in -X\n");
  });

  test("an option without its value is an error", async () => {
    const { code, stderr } = await host.pod("run", "--name");
    expect(code).toBe(125);
    expect(stderr).toStartWith("pod: flag needs an argument: --name\n");
  });

  test("a run without an image says what is missing", async () => {
    const { code, stderr } = await host.pod("run", "--rm");
    expect(code).toBe(1);
    expect(stderr).toStartWith("pod: 'pod run' requires at least 1 argument\n\nUsage:  pod run ");
  });

  test("a group of commands has no flags", async () => {
    const { code, stdout, stderr } = await host.pod("network", "--nope");
    expect({ code, stdout }).toEqual({ code: 125, stdout: "" });
    expect(stderr).toStartWith("pod: unknown flag: --nope\n");
    expect(stderr).toContain("Run 'pod network --help' for more information");
  });

  for (const [option, value, text] of [
    ["--pull", "often", `invalid pull option: 'often': must be one of "always", "missing" or "never"`],
    ["--network", "moon", "cannot attach both user-defined and non-user-defined network-modes"], // none, and this
    ["--shm-size", "much", "invalid size: 'much'"],
    ["--storage-driver", "zfs", "zfs"],
    ["--add-host", "db", 'bad format for add-host: "db"'],
    ["--name", "a b", "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"],
    ["--hostname", "a_b", "invalid hostname format: a_b"],
    ["--workdir", "tmp", "the working directory 'tmp' is invalid, it needs to be an absolute path"],
    ["--volume", "a", "invalid mount path: 'a' mount path must be absolute"],
    ["--volume", "/a:/b:rx", "invalid mode: rx"],
    ["--tmpfs", "/a:suid=1", 'invalid tmpfs option ["suid=1"]'],
    ["--env", "=x", "invalid environment variable: =x"],
    ["--env-file", "/no/such", "/no/such"],
    ["--env-file", "/dev/zero", "read env file /dev/zero: it is larger than 1048576 bytes"],
    ["--name", "\x1b[31m", "Invalid container name (\\x1b[31m), only"],
    ["--label", "a b=c", "label 'a b' contains whitespaces"],
    ["--detach-keys", "ctrl-%", "invalid detach keys (ctrl-%) provided"],
  ] as const) {
    test(`${option} ${value} is refused, and makes nothing`, async () => {
      const { code, stdout, stderr } = await host.pod(...quietRun, option, value, "starter", "true");
      expect({ code, stdout }).toEqual({ code: 125, stdout: "" });
      expect(stderr).toStartWith("pod: ");
      expect(stderr).toContain(text);
      expect(await host.must("ps", "-aq")).toBe("");
    });
  }

  test("an unknown network is refused, and makes nothing", async () => {
    const { code, stderr } = await host.pod("run", "--rm", "--network", "moon", "starter", "true");
    expect({ code, stderr }).toEqual({ code: 125, stderr: "pod: network moon not found\n" });
    expect(await host.must("ps", "-aq")).toBe("");
  });

  test("--name names the container and its host's name in /etc/hosts", async () => {
    expect(await host.shOutput("grep -c ' *named$' /etc/hosts", "--name", "named")).toBe("1");
  });

  test("-h sets the host's name, also in /etc/hostname, /etc/hosts and HOSTNAME", async () => {
    const script = "hostname; cat /etc/hostname; grep -c web.example /etc/hosts; echo $HOSTNAME";
    expect(await host.shOutput(script, "-h", "web.example")).toBe("web.example\nweb.example\n1\nweb.example");
  });

  test("without -h the host's name is the id's first twelve digits", async () => {
    expect(await host.shOutput("hostname")).toMatch(/^[0-9a-f]{12}$/);
  });

  test("--add-host adds lines to /etc/hosts", async () => {
    const options = ["--add-host", "db:10.0.0.7", "--add-host=six=[fd00::7]"];
    const hosts = await host.shOutput("cat /etc/hosts", ...options);
    expect(hosts).toContain("10.0.0.7\tdb\n");
    expect(hosts).toContain("fd00::7\tsix\n");
  });

  test("--label is in inspect's output, over the image's", async () => {
    const id = await host.must("run", "-d", "-l", "one=1", "--label", "two", "--network", "none", "starter", "true");
    expect(JSON.parse(await host.must("inspect", id))[0].Config.Labels).toEqual({ one: "1", two: "" });
    await host.must("rm", "-f", id);
  });

  test("--entrypoint takes the place of the image's command", async () => {
    const { stdout } = await host.pod(...quietRun, "--entrypoint", "echo", "starter", "a", "b");
    expect(stdout).toBe("a b\n");
  });

  test("--storage-driver is recorded, whatever STORAGE_DRIVER says", async () => {
    const id = await host.must("run", "-d", "--storage-driver", "overlay", "--network", "none", "starter", "true");
    expect(await host.must("inspect", "--format", "{{.GraphDriver.Name}}", id)).toBe("overlay");
    await host.must("rm", "-f", id);
  });

  test("-d prints the id of 64 digits and returns at once", async () => {
    const started = performance.now();
    const id = await host.must("run", "-d", "--network", "none", "starter", "sleep", "60");
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(await host.must("ps", "-q", "--no-trunc")).toBe(id);
    expect(await host.must("rm", "-f", id)).toBe(id);
  });

  test("--rm with -d removes the container at its end", async () => {
    await host.must("run", "-d", "--rm", "--network", "none", "starter", "true");
    for (let i = 0; i < 50 && (await host.must("ps", "-aq")) !== ""; i++) await Bun.sleep(100);
    expect(await host.must("ps", "-aq")).toBe("");
  });
});
