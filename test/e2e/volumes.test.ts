import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { onBothDrivers } from "./harness.ts";
import { publish } from "./images.ts";
import { randomNumbers, seed } from "./random.ts";

onBothDrivers("volumes", (host) => {
  let registry: TestRegistry;
  let app: string;
  const folder = (name: string) => join(host.dataDir, "volumes", name);
  const names = async (...options: string[]) => await host.must("volume", "ls", "-q", ...options);
  const create = (...options: string[]) => host.must("create", "--network", "none", ...options);

  beforeAll(async () => {
    registry = await startRegistry();
    app = await publish(registry, "team/app:1", { config: { Volumes: { "/state/": {} } } });
    await host.must("pull", "-q", app);
    await host.must("pull", "-q", "starter");
  });
  afterAll(() => registry.stop());

  test("create, ls, inspect, exists and rm speak Docker's language", async () => {
    expect(await host.must("volume", "create", "data", "--label", "a=b")).toBe("data");
    expect(await host.must("volume", "create", "data")).toBe("data"); // it stays as it is
    const anonymous = await host.must("volume", "create");
    expect(anonymous).toMatch(/^[0-9a-f]{64}$/);
    expect((await host.must("volume", "ls")).split("\n")).toEqual([
      "DRIVER    VOLUME NAME",
      ...[`local     ${anonymous}`, "local     data"].toSorted(),
    ]);
    expect(JSON.parse(await host.must("volume", "inspect", "data"))).toEqual([
      {
        CreatedAt: expect.stringMatching(/^\d{4}-.*Z$/),
        Driver: "local",
        Labels: { a: "b" },
        Mountpoint: join(folder("data"), "_data"),
        Name: "data",
        Options: null,
        Scope: "local",
      },
    ]);
    expect(await host.must("inspect", "-f", "{{.Mountpoint}}", "data")).toBe(join(folder("data"), "_data"));
    expect((await host.pod("volume", "exists", "data")).code).toBe(0);
    expect((await host.pod("volume", "exists", "nope")).code).toBe(1);
    expect(await host.must("volume", "rm", "data", anonymous)).toBe(`data\n${anonymous}`);
    expect(await names()).toBe("");
  });

  test("what is not there is told in Docker's words", async () => {
    const text = "pod: get nope: no such volume\n";
    expect(await host.pod("volume", "rm", "nope")).toMatchObject({ code: 1, stdout: "", stderr: text });
    expect(await host.pod("volume", "rm", "-f", "nope")).toMatchObject({ code: 0, stdout: "nope\n", stderr: "" });
    expect(await host.pod("volume", "inspect", "nope")).toMatchObject({ code: 1, stdout: "[]\n", stderr: text });
    expect(await host.pod("volume", "export", "nope")).toMatchObject({ code: 1, stderr: text });
    expect(await host.pod("volume", "import", "nope", "/dev/null")).toMatchObject({ code: 1, stderr: text });
    expect(await host.pod("inspect", "--type", "volume", "nope")).toMatchObject({ code: 1, stdout: "[]\n" });
  });

  for (const [name, text] of [
    ["a/b", `create a/b: "a/b" includes invalid characters for a local volume name`],
    ["x", "volume name is too short"],
    ["..", "includes invalid characters"],
    ["a".repeat(256), "volume name is too long: it has 256 characters, and 255 are the most"],
  ] as const) {
    test(`volume create ${name.slice(0, 9)} is refused`, async () => {
      const { code, stdout, stderr } = await host.pod("volume", "create", name);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain(text);
    });
  }

  test("drivers and options that there are not are errors", async () => {
    const driver = await host.pod("volume", "create", "-d", "nfs", "data");
    expect(driver).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`create data: error looking up volume plugin nfs: plugin "nfs" not found`),
    });
    const option = await host.pod("volume", "create", "-o", "type=nfs", "data");
    expect(option.stderr).toContain('option "type" is not supported');
    expect(await names()).toBe("");
  });

  test("files stay when containers go, and belong to the caller", async () => {
    await host.shOutput("echo kept > /d/file", "-v", "data:/d");
    expect(await host.shOutput("cat /d/file", "-v", "data:/d:ro")).toBe("kept");
    expect((await host.sh("touch /d/file", "-v", "data:/d:ro")).stderr).toContain("Read-only file system");
    expect(statSync(join(folder("data"), "_data/file")).uid).toBe(process.getuid!());
    await host.must("volume", "rm", "data");
  });

  test("a volume in use is not removed, and the text names who uses it", async () => {
    const one = await create("-v", "data:/d", "starter", "true");
    const two = await create("--volumes-from", one, "starter", "true");
    const refused = await host.pod("volume", "rm", "data");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^pod: remove data: volume is in use - \[[0-9a-f]{64}, [0-9a-f]{64}\]\n$/);
    for (const id of [one, two]) expect(refused.stderr).toContain(id);
    await host.must("rm", one);
    expect((await host.pod("volume", "rm", "data")).code).toBe(1);
    await host.must("rm", two);
    expect(await host.must("volume", "rm", "data")).toBe("data");
  });

  test("filters and formats of ls", async () => {
    await host.must("volume", "create", "one", "--label", "kind=x");
    await host.must("volume", "create", "two");
    const id = await create("-v", "two:/d", "starter", "true");
    expect(await names("-f", "dangling=true")).toBe("one");
    expect(await names("-f", "dangling=false")).toBe("two");
    expect(await names("-f", "name=^o")).toBe("one");
    expect(await names("-f", "label=kind=x")).toBe("one");
    expect(await names("-f", "driver=nfs")).toBe("");
    expect((await host.pod("volume", "ls", "-f", "color=red")).stderr).toContain("invalid filter 'color'");
    expect(JSON.parse((await host.must("volume", "ls", "--format", "json")).split("\n")[0]!)).toMatchObject({
      Name: "one",
      Driver: "local",
      Labels: "kind=x",
      Links: "N/A",
      Size: "N/A",
    });
    expect(await host.must("volume", "ls", "--format", '{{.Name}} {{.Label "kind"}}')).toBe("one x\ntwo ");
    expect(await host.must("ps", "-aq", "--no-trunc", "-f", "volume=two")).toBe(id);
    expect(await host.must("ps", "-aq", "--no-trunc", "-f", "volume=/d")).toBe(id);
    expect(await host.must("ps", "-aq", "-f", "volume=one")).toBe("");
    expect(await host.must("ps", "-a", "--format", "{{.Mounts}} {{.LocalVolumes}}")).toBe("two 1");
    await host.must("rm", id);
    await host.must("volume", "rm", "one", "two");
  });

  test("anonymous volumes go with --rm and rm -v, and stay with a plain rm", async () => {
    expect(
      await host.must("run", "--rm", "--network", "none", "-v", "/a", app, "sh", "-c", "touch /a/x /state/x"),
    ).toBe("");
    expect(await names()).toBe("");
    const kept = await create("-v", "/a", "-v", "named:/n", app, "true");
    expect((await names()).split("\n")).toHaveLength(3);
    await host.must("rm", "-v", kept);
    expect(await names()).toBe("named");
    await host.must("rm", await create(app, "true"));
    const [left] = (await names("-f", "name=^[0-9a-f]{64}$")).split("\n");
    expect(left).toMatch(/^[0-9a-f]{64}$/);
    await host.must("volume", "rm", left!, "named");
  });

  test("an anonymous volume that another container has taken over stays until that goes", async () => {
    const one = await create("--name", "one", app, "true");
    const two = await create("--volumes-from", "one", "starter", "true");
    await host.must("rm", "-v", one);
    expect((await names()).split("\n")).toHaveLength(1);
    await host.must("rm", "-v", two);
    expect(await names()).toBe("");
  });

  test("--volumes-from takes folders and volumes, read-only where asked, and an own -v comes before it", async () => {
    const id = await create("-v", "data:/d", "-v", "./host:/h", "--tmpfs", "/t", "starter", "true");
    expect(await host.shOutput("echo 1 > /d/f; echo 2 > /h/f; ls -d /t || true", "--volumes-from", id)).toBe("");
    const readOnly = await host.sh("cat /d/f /h/f; touch /d/g /h/g", "--volumes-from", `${id}:ro`);
    expect(readOnly.stdout).toBe("1\n2\n");
    expect(readOnly.stderr.match(/Read-only/g)).toHaveLength(2);
    expect(await host.shOutput("ls /d", "--volumes-from", id, "-v", "other:/d")).toBe("");
    const missing = await host.sh("true", "--volumes-from", "nosuch");
    expect(missing).toMatchObject({ code: 125, stderr: "pod: No such container: nosuch\n" });
    await host.must("rm", id);
    await host.must("volume", "rm", "data", "other");
  });

  test("inspect has Docker's shape of mounts", async () => {
    const id = await create(
      ...["-v", "data:/d", "-v", "ro:/r:ro", "-v", "./m:/m:ro", "-v", "/anon", "--tmpfs", "/t:size=1m"],
      ...["--mount", "type=tmpfs,dst=/u", "--mount", "type=bind,src=./m,dst=/n,readonly", app, "true"],
    );
    const [{ Mounts, HostConfig, Config }] = JSON.parse(await host.must("inspect", id));
    const mount = (destination: string) =>
      Mounts.find((each: { Destination: string }) => each.Destination === destination);
    expect(mount("/d")).toEqual({
      Type: "volume",
      Name: "data",
      Source: join(folder("data"), "_data"),
      Destination: "/d",
      Driver: "local",
      Mode: "z",
      RW: true,
      Propagation: "",
    });
    expect(mount("/r")).toMatchObject({ Mode: "ro", RW: false });
    expect(mount("/m")).toEqual({
      Type: "bind",
      Source: join(host.work, "m"),
      Destination: "/m",
      Mode: "ro",
      RW: false,
      Propagation: "rprivate",
    });
    expect(mount("/anon")).toMatchObject({ Type: "volume", Name: expect.stringMatching(/^[0-9a-f]{64}$/), Mode: "" });
    expect(mount("/state")).toMatchObject({ Type: "volume", Name: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(mount("/u")).toMatchObject({ Type: "tmpfs", Source: "", RW: true });
    expect(mount("/t")).toBeUndefined();
    expect(HostConfig.Binds).toEqual(["data:/d", "ro:/r:ro", `${join(host.work, "m")}:/m:ro`]);
    expect(HostConfig.Mounts).toEqual([
      { Type: "tmpfs", Target: "/u" },
      { Type: "bind", Source: join(host.work, "m"), Target: "/n", ReadOnly: true, BindOptions: {} },
    ]);
    expect(HostConfig.Tmpfs["/t"]).toContain("size=1m");
    expect(Config.Volumes).toEqual({ "/anon": {}, "/state": {} });
    await host.must("rm", "-v", id);
    await host.must("volume", "rm", "data", "ro");
  });

  test("commit and export hold no volume's files, and diff tells only where it was mounted", async () => {
    await host.must(
      "run",
      "--network",
      "none",
      "--name",
      "made",
      "-v",
      "data:/d",
      "starter",
      "sh",
      "-c",
      "echo x > /d/f; echo y > /y",
    );
    expect((await host.must("diff", "made")).split("\n")).toEqual(["A /d", "A /y"]);
    await host.must("commit", "made", "made:1");
    expect(await host.must("run", "--rm", "--network", "none", "made:1", "sh", "-c", "ls /d; cat /y")).toBe("y");
    await host.must("export", "-o", "made.tar", "made");
    const listed = Bun.spawnSync(["tar", "tf", "made.tar"], { cwd: host.work }).stdout.toString();
    expect(listed).toContain("y\n");
    expect(listed).not.toContain("d/f");
    await host.must("rm", "made");
    await host.must("rmi", "made:1");
    await host.must("volume", "rm", "data");
  });

  test("export and import carry owners, modes and links; an archive may be compressed", async () => {
    await host.shOutput(
      "cd /d; echo x > a; ln a b; ln -s a c; chmod 640 a; chown 7:8 a; mkdir -m 700 e",
      "-v",
      "from:/d",
    );
    await host.must("volume", "export", "-o", "v.tar", "from");
    await host.must("volume", "create", "to");
    await host.must("volume", "import", "to", "v.tar");
    const look = "cd /d; stat -c '%n %a %u %g %h' a b e; readlink c; cat b";
    expect(await host.shOutput(look, "-v", "to:/d")).toBe("a 640 7 8 2\nb 640 7 8 2\ne 700 0 0 2\na\nx");
    for (const program of ["gzip", "bzip2", "xz"]) {
      const stdin = new Uint8Array(Bun.spawnSync([program, "-c", "v.tar"], { cwd: host.work }).stdout);
      await host.must("volume", "create", program);
      expect((await host.podWith({ stdin }, "volume", "import", program)).code).toBe(0);
      expect(await host.shOutput(look, "-v", `${program}:/d`)).toStartWith("a 640 7 8 2\n");
      await host.must("volume", "rm", program);
    }
    await host.must("volume", "import", "to", "v.tar"); // upon what is there
    await host.must("volume", "rm", "from", "to");
  });

  test("a bad archive leaves an empty volume empty", async () => {
    await host.must("volume", "create", "data");
    await host.shOutput("head -c 100000 /dev/urandom > /d/big; echo 1 > /d/a", "-v", "from:/d");
    await host.must("volume", "export", "-o", "whole.tar", "from");
    const whole = await Bun.file(join(host.work, "whole.tar")).bytes();
    writeFileSync(join(host.work, "cut.tar"), whole.subarray(0, whole.length / 2));
    for (const [file, text] of [
      ["cut.tar", "import cut.tar into volume data: "],
      ["nosuch.tar", "no such file or directory (ENOENT)"],
    ] as const) {
      const { code, stderr } = await host.pod("volume", "import", "data", file);
      expect(code).toBe(1);
      expect(stderr).toContain(text);
    }
    expect(readdirSync(join(folder("data"), "_data"))).toEqual([]);
    expect(readdirSync(folder("data")).toSorted()).toEqual(["_data", "volume.json"]);
    await host.must("volume", "rm", "data", "from");
  });

  test(`an import that is killed leaves all of it or nothing, seed ${seed}`, async () => {
    const next = randomNumbers(seed);
    const files = 500;
    await host.shOutput(`i=0; while [ $i -lt ${files} ]; do echo $i > /d/$i; i=$((i+1)); done`, "-v", "from:/d");
    await host.must("volume", "export", "-o", "many.tar", "from");
    const begun = performance.now();
    await host.must("volume", "create", "to");
    await host.must("volume", "import", "to", "many.tar");
    const usualMs = performance.now() - begun;
    for (let round = 0; round < 6; round++) {
      await host.must("volume", "rm", "to");
      await host.must("volume", "create", "to");
      const child = host.spawn("volume", "import", "to", "many.tar");
      await Bun.sleep(next() * usualMs);
      child.kill("SIGKILL");
      await child.exited;
      expect(["0", String(files)]).toContain(await host.shOutput("ls /d | wc -l", "-v", "to:/d"));
      expect(await host.must("system", "check")).toContain("all is well");
    }
    await host.must("volume", "import", "to", "many.tar");
    expect(await host.shOutput("ls /d | wc -l; cat /d/499", "-v", "to:/d")).toBe(`${files}\n499`);
    await host.must("volume", "rm", "from", "to");
    expect(readdirSync(join(host.dataDir, "tmp"))).toEqual([]);
  });

  test("what a killed command had half moved into a volume is all there for the next container, whatever its image has", async () => {
    const volume = join(host.dataDir, "volumes/half");
    await host.must("volume", "create", "half");
    const make = "mkdir $0/filled && touch $0/filled/two $0/_data/one"; // as it is between two renames
    await host.must("unshare", "sh", "-c", make, volume);
    expect(await host.shOutput("ls /d", "-v", "half:/d")).toBe("one\ntwo");

    await host.must("run", "--name", "half", "-v", "half:/d", "starter", "true");
    await host.must("unshare", "sh", "-c", "mkdir $0/filled && touch $0/filled/three", volume);
    await host.must("cp", "half:/d", "half");
    expect(readdirSync(join(host.work, "half")).toSorted()).toEqual(["one", "three", "two"]);
    await host.must("rm", "half");
    await host.must("volume", "rm", "half");
  });

  test("prune takes the anonymous ones that nobody uses, and with -a all of them", async () => {
    await host.must("volume", "create", "named");
    await host.must("volume", "create", "kept", "--label", "keep");
    const anonymous = await host.must("volume", "create");
    const used = await create("-v", "/a", "starter", "true");
    const asked = await host.podWith({ stdin: "n\n" }, "volume", "prune");
    expect(asked.stdout).toStartWith(
      "WARNING! This will remove anonymous local volumes not used by at least one container.\nAre you sure you want to continue?",
    );
    expect(await host.must("volume", "prune", "-f")).toMatch(
      new RegExp(`^Deleted Volumes:\n${anonymous}\n\nTotal reclaimed space: [\\d.]+kB$`),
    );
    const all = await host.podWith({ stdin: "n\n" }, "volume", "prune", "-a");
    expect(all.stdout).toStartWith("WARNING! This will remove all local volumes not used by at least one container.\n");
    expect(await host.must("volume", "prune", "-af", "--filter", "label!=keep")).toContain("Deleted Volumes:\nnamed\n");
    expect(await host.must("volume", "prune", "-f", "--filter", "all=1")).toContain("Deleted Volumes:\nkept\n");
    expect((await host.pod("volume", "prune", "-af", "--filter", "all=1")).stderr).toContain(
      "conflicting options: cannot specify both --all and --filter all=1",
    );
    await host.must("rm", "-v", used);
    expect(await host.must("volume", "prune", "-f")).toBe("Total reclaimed space: 0B");
  });

  test("system df counts volumes, and system prune takes the anonymous ones with --volumes", async () => {
    await host.shOutput("head -c 100000 /dev/zero > /d/f", "-v", "data:/d");
    await host.must("volume", "create");
    const id = await create("-v", "data:/d", "starter", "true");
    const rows = (await host.must("system", "df", "--format", "json")).split("\n").map((row) => JSON.parse(row));
    expect(rows.find(({ Type }) => Type === "Local Volumes")).toMatchObject({ TotalCount: "2", Active: "1" });
    const verbose = JSON.parse(await host.must("system", "df", "-v", "--format", "json"));
    expect(verbose.Volumes.find(({ Name }: { Name: string }) => Name === "data")).toMatchObject({ Links: "1" });
    expect(await host.must("system", "df", "-v")).toMatch(/^VOLUME NAME +LINKS +SIZE\n/m);
    await host.must("rm", id);
    expect(await host.must("system", "prune", "-f")).not.toContain("Volumes");
    expect(await host.must("system", "prune", "-f", "--volumes")).toContain("Deleted Volumes:\n");
    expect(await names()).toBe("data");
    await host.must("volume", "rm", "data");
  });

  test("a volume that has vanished under a stopped container is an error that says so", async () => {
    await host.must("run", "--network", "none", "--name", "bereft", "-v", "data:/d", "starter", "true");
    rmSync(folder("data"), { recursive: true });
    const { code, stderr } = await host.pod("start", "-a", "bereft");
    expect(code).not.toBe(0);
    expect(stderr).toContain("get data: no such volume\nhint: `pod volume create data` makes an empty one\n");
    const check = await host.pod("system", "check");
    expect(check).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("container bereft: its volume data is missing"),
    });
    await host.must("volume", "create", "data");
    expect(await host.must("start", "-a", "bereft")).toBe("");
    await host.must("rm", "bereft");
    await host.must("volume", "rm", "data");
  });

  test("system check finds and mends a damaged volume; its files stay", async () => {
    await host.shOutput("echo kept > /d/f", "-v", "data:/d");
    writeFileSync(join(folder("data"), "volume.json"), "");
    expect(await names()).toBe("data");
    expect((await host.pod("system", "check")).stdout).toContain("volume data: ");
    expect(await host.must("system", "check", "--repair")).toContain("repaired: written again, without labels");
    expect(await host.must("system", "check")).toContain("1 volumes: all is well");
    expect(await host.shOutput("cat /d/f", "-v", "data:/d")).toBe("kept");
    await host.must("volume", "rm", "data");
  });

  test("sixteen containers that begin at once with one new volume make one, and each has it", async () => {
    const runs = await Promise.all(
      Array.from({ length: 16 }, (_, index) =>
        host.sh(`echo ${index} > /d/${index}`, "-v", "shared:/d", "-v", "/anon"),
      ),
    );
    expect(runs.filter(({ code }) => code !== 0)).toEqual([]);
    expect(await host.shOutput("ls /d | wc -l", "-v", "shared:/d")).toBe("16");
    expect(await names()).toBe("shared");
    await host.must("volume", "rm", "shared");
  });

  test("rm beside run: the volume is there, or the removal was refused", async () => {
    for (let round = 0; round < 8; round++) {
      const [run, rm] = await Promise.all([
        host.sh("echo x > /d/f", "-v", "raced:/d"),
        host.pod("volume", "rm", "raced"),
      ]);
      expect({ code: run.code, stderr: run.stderr }).toEqual({ code: 0, stderr: "" });
      if (rm.code !== 0) expect(rm.stderr).toMatch(/no such volume|volume is in use/);
    }
    await host.must("volume", "rm", "-f", "raced");
  });

  test("volume rm works on files of subordinate ids and without permissions", async () => {
    await host.shOutput("mkdir -p /d/a/b; chown -R 1000:1000 /d/a; chmod 0 /d/a/b /d/a", "-v", "data:/d");
    expect(await host.must("volume", "rm", "data")).toBe("data");
    expect(existsSync(folder("data"))).toBe(false);
  });

  test("events tell of volumes", async () => {
    await host.must("volume", "create", "told");
    await host.must("volume", "rm", "told");
    const events = await host.must(
      "events",
      "--since",
      "1h",
      "--until",
      "0s",
      "-f",
      "type=volume",
      "-f",
      "volume=told",
    );
    expect(events.split("\n").map((line) => line.replace(/^\S+ /, ""))).toEqual([
      "volume create told (driver=local)",
      "volume destroy told (driver=local)",
    ]);
  });
});
