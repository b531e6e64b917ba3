import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startRegistry } from "../registry.ts";
import { file } from "../storage/archive.ts";
import { pushImage, shell } from "./crafted.ts";
import { binary, type Host, onAllDrivers, onBothDrivers, quietRun } from "./harness.ts";

onBothDrivers("--mount and -v", (host, driver) => {
  const at = (name: string) => join(host.work, name);

  test("a missing source of --mount is an error in Docker's words, and nothing is made", async () => {
    const { code, stderr } = await host.sh("true", "--mount", `type=bind,src=${at("nope")},dst=/m`);
    expect({ code, stderr }).toEqual({
      code: 125,
      stderr: `pod: invalid mount config for type "bind": bind source path does not exist: ${at("nope")}\n`,
    });
    expect(existsSync(at("nope"))).toBe(false);
    expect(await host.must("ps", "-aq")).toBe("");
    expect(await host.shOutput("ls -A /m", "--mount", "type=bind,src=./made,dst=/m,bind-create-src")).toBe("");
    expect(statSync(at("made")).isDirectory()).toBe(true);
  });

  test("a source that has vanished since: -v makes it again, --mount is an error", async () => {
    for (const [name, option] of [
      ["made-again", ["-v", "./gone:/m"]],
      ["refused", ["--mount", "type=bind,src=./gone,dst=/m"]],
    ] as const) {
      mkdirSync(at("gone"), { recursive: true });
      await host.must("create", "--network", "none", "--name", name, ...option, "starter", "ls", "-A", "/m");
      rmSync(at("gone"), { recursive: true });
    }
    expect(await host.must("start", "-a", "made-again")).toBe("");
    rmSync(at("gone"), { recursive: true });
    const { code, stderr } = await host.pod("start", "-a", "refused");
    expect(code).not.toBe(0);
    expect(stderr).toContain(`invalid mount config for type "bind": bind source path does not exist: ${at("gone")}`);
    await host.must("rm", "made-again", "refused");
  });

  test("a source that is a dangling symlink is an error that names it", async () => {
    symlinkSync("/no/such/place", at("dangling"));
    const { code, stderr } = await host.sh("true", "-v", "./dangling:/m");
    expect(code).toBe(125);
    expect(stderr).toContain(at("dangling"));
  });

  test("~ is the caller's home, where no shell has seen it", async () => {
    mkdirSync(join(host.home, "mine"));
    writeFileSync(join(host.home, "mine/file"), "home\n");
    expect(await host.shOutput("cat /m/file", "--volume=~/mine:/m")).toBe("home");
  });

  test("two mounts on one place are Docker's error", async () => {
    for (const options of [
      ["-v", "one:/m", "-v", "./two:/m/"],
      ["-v", "/m", "--tmpfs", "/m"],
      ["--mount", "type=tmpfs,dst=/m", "-v", "one:/m"],
    ]) {
      expect(await host.sh("true", ...options)).toMatchObject({
        code: 125,
        stderr: expect.stringContaining("pod: Duplicate mount point: /m\n"),
      });
    }
    expect(await host.must("volume", "ls", "-q")).toBe("");
  });

  test("a part of a volume, folder or file, from which no symlink leads out", async () => {
    await host.shOutput(
      "mkdir -p /d/a/b; echo deep > /d/a/b/f; ln -s /etc /d/out; ln -s a/b /d/in; ln -s ../.. /d/up",
      "-v",
      "data:/d",
    );
    expect(await host.shOutput("cat /m/f; touch /m/g", "--mount", "src=data,dst=/m,volume-subpath=a/b")).toBe("deep");
    expect(await host.shOutput("cat /m/f", "--mount", "src=data,dst=/m,subpath=in")).toBe("deep");
    expect(await host.shOutput("cat /m", "--mount", "src=data,dst=/m,subpath=a/b/f,readonly")).toBe("deep");
    for (const subpath of ["out", "up", "nosuch"]) {
      const { code, stderr } = await host.sh("true", "--mount", `src=data,dst=/m,subpath=${subpath}`);
      expect(code).toBe(125);
      expect(stderr).toContain(subpath);
    }
    await host.must("volume", "rm", "data");
  });

  test("labels of --mount are those of a volume that it makes", async () => {
    await host.shOutput("true", "--mount", "src=data,dst=/m,volume-label=a=b");
    expect(await host.must("volume", "ls", "-f", "label=a=b", "-q")).toBe("data");
    await host.must("volume", "rm", "data");
  });

  test("tmpfs has its size, mode and access", async () => {
    const script = "stat -c %a /t; df -k /t | tail -1 | tr -s ' ' | cut -d' ' -f2; touch /u/x";
    const { stdout, stderr } = await host.sh(
      script,
      ...["--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0711", "--mount", "type=tmpfs,dst=/u,readonly"],
    );
    expect(stdout).toBe("711\n1024\n");
    expect(stderr).toContain("Read-only file system");
  });

  test("mounts within mounts of all kinds come out right in any order", async () => {
    mkdirSync(at("outer"), { recursive: true });
    const script = "touch /m/1 /m/a/2 /m/a/b/3 /m/a/b/c/4 && ls /m /m/a /m/a/b /m/a/b/c | tr '\\n' ' '";
    const options = ["-v", "deep:/m/a/b/c", "--tmpfs", "/m/a/b", "-v", "/m/a", "-v", "./outer:/m"];
    expect(await host.shOutput(script, ...options)).toBe("/m: 1 a  /m/a: 2 b  /m/a/b: 3 c  /m/a/b/c: 4 ");
    expect(readdirSync(at("outer")).toSorted()).toEqual(["1", "a"]);
    await host.must("volume", "rm", "deep");
  });

  test("nosuid, nodev and noexec of -v hold", async () => {
    const flags = await host.shOutput("grep ' /m ' /proc/mounts | cut -d' ' -f4", "-v", "data:/m:nosuid,nodev,noexec");
    expect(flags).toMatch(/^rw,nosuid,nodev,noexec/);
    await host.must("volume", "rm", "data");
  });

  test("U gives a folder and its files to the container's user", async () => {
    mkdirSync(at("given"));
    writeFileSync(at("given/file"), "");
    const script = "stat -c '%u %g' /m /m/file; touch /m/own";
    expect(await host.shOutput(script, "-u", "1000:1001", "-v", "./given:/m:U")).toBe("1000 1001\n1000 1001");
    expect(() => writeFileSync(at("given/file"), "x")).toThrow("EACCES");
    expect(await host.must("chown", "-v", "given")).toBe("given: 3 changed");
    writeFileSync(at("given/file"), "x");
    rmSync(at("given"), { recursive: true });
  });

  test("chown gives back what containers have made, follows no symlink, and says what is not there", async () => {
    mkdirSync(at("left"));
    writeFileSync(at("mine"), "");
    await host.shOutput(
      "mkdir -p /m/a/b; touch /m/a/b/c; ln -s ../mine /m/link; chown -R 1000:1000 /m/a; chmod 0 /m/a",
      "-v",
      "./left:/m",
    );
    expect(() => readdirSync(at("left/a"))).toThrow("EACCES");
    expect(await host.must("chown", "left")).toBe("");
    expect(statSync(at("left/a"))).toMatchObject({ uid: process.getuid!(), gid: process.getgid!() });
    expect(await host.pod("chown", "nosuch")).toMatchObject({
      code: 1,
      stderr: "pod: chown nosuch: no such file or directory\n",
    });
    expect((await host.pod("chown", "/etc/passwd")).stderr).toBe(
      "pod: chown /etc/passwd: 1 files belong to others, and stay theirs\n",
    );
  });

  /** As root of a namespace in which the caller can mount; `$0` is pod. */
  const inOwnMounts = async (script: string) => {
    const command = ["unshare", "--map-root-user", "--mount", "--propagation", "shared", "sh", "-ec", script, binary];
    const env = { ...host.env, XDG_DATA_HOME: at(`data-${driver}`) };
    const child = Bun.spawn(command, { cwd: host.work, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { stdout, stderr };
  };

  test("read-only goes for what is mounted below too, unless it is asked not to", async () => {
    const { stdout, stderr } = await inOwnMounts(`
      mkdir -p top; mount -t tmpfs below top; mkdir top/sub; mount -t tmpfs below top/sub
      for how in -v=$PWD/top:/m:ro --mount=type=bind,src=./top,dst=/m,ro --mount=type=bind,src=./top,dst=/m,ro,bind-recursive=writable; do
        "$0" run --rm -q --network none "\${how%%=*}" "\${how#*=}" starter sh -c 'touch /m/x 2>/dev/null && echo top; touch /m/sub/x 2>/dev/null && echo sub; echo end'
      done
      "$0" system reset -f`);
    expect({ stdout, stderr: stderr.replace(/^pod: only .*\n(hint.*\n)?/gm, "") }).toMatchObject({
      stdout: "end\nend\nsub\nend\n",
    });
  });

  test("with rslave later mounts of the host arrive, and without it they do not", async () => {
    const { stdout } = await inOwnMounts(`
      mkdir -p later; mount -t tmpfs later later; mkdir later/sub
      "$0" run -d -q --network none --name slave -v ./later:/m:rslave starter sleep 60 >/dev/null
      "$0" run -d -q --network none --name private -v ./later:/m starter sleep 60 >/dev/null
      mount -t tmpfs late later/sub; touch later/sub/file
      echo slave: $("$0" exec slave ls /m/sub); echo private: $("$0" exec private ls /m/sub)
      "$0" exec slave grep -c shared: /proc/self/mountinfo || true
      "$0" system reset -f`);
    expect(stdout).toBe("slave: file\nprivate:\n0\n");
  });

  test("rshared is refused, for it can't be had", async () => {
    const { code, stderr } = await host.sh("true", "-v", ".:/m:rshared");
    expect(code).toBe(125);
    expect(stderr).toContain("a rootless container's mounts can't reach the host");
  });

  test("nothing is mounted inside /proc, nor by an image's symlink; a folder on /dev is left as it is", async () => {
    mkdirSync(at("over"), { recursive: true });
    writeFileSync(at("over/core"), "mine\n");
    for (const [option, place] of [
      ["./over:/proc", "/proc"],
      ["./over:/proc/sys", "/proc/sys"],
      ["./over:/proc/new/one", "/proc/new/one"],
      ["data:/proc/bus", "/proc/bus"],
    ] as const) {
      const text = `"${place}" cannot be mounted because it is inside /proc`;
      expect(await host.sh("true", "-v", option)).toMatchObject({ code: 125, stderr: expect.stringContaining(text) });
    }
    expect((await host.sh("true", "--tmpfs", "/proc")).stderr).toContain("inside /proc");
    await host.must("run", "--network", "none", "--name", "linked", "starter", "ln", "-s", "/proc/sys", "/alias");
    await host.must("commit", "linked", "linked:1");
    const led = await host.pod(...quietRun, "-v", "./over:/alias", "linked:1", "true");
    expect(led).toMatchObject({ code: 125, stderr: expect.stringContaining('"/alias" cannot be mounted') });
    expect(await host.shOutput("cat /proc/uptime", "-v", "./over/core:/proc/uptime")).toBe("mine");
    expect(await host.shOutput("ls -A /dev; cat /proc/kcore | wc -c", "-v", "./over:/dev")).toBe("core\n0");
    expect(readdirSync(at("over"))).toEqual(["core"]);
    await host.must("rm", "linked");
    await host.must("rmi", "linked:1");
    await host.must("volume", "rm", "-f", "data");
  });

  test("--device shows a device of the host, at its place or another", async () => {
    const script = "test -c /dev/fuse && test -c /dev/other && head -c 3 /dev/other | wc -c";
    expect(await host.shOutput(script, "--device", "/dev/fuse", "--device", "/dev/zero:/dev/other:rwm")).toBe("3");
    const missing = await host.sh("true", "--device", "/dev/nope");
    expect(missing).toMatchObject({
      code: 125,
      stderr:
        'pod: error gathering device information while adding custom device "/dev/nope": no such file or directory\n',
    });
    writeFileSync(at("no-device"), "");
    expect((await host.sh("true", "--device", at("no-device"))).stderr).toContain("not a device node");
    const id = await host.must("create", "--device", "/dev/fuse", "starter", "true");
    expect(JSON.parse(await host.must("inspect", "-f", "{{json .HostConfig.Devices}}", id))).toEqual([
      { PathOnHost: "/dev/fuse", PathInContainer: "/dev/fuse", CgroupPermissions: "rwm" },
    ]);
    expect(await host.must("inspect", "-f", "{{json .Mounts}}", id)).toBe("[]");
    await host.must("rm", id);
  });

  test("--read-only leaves /run, /tmp and /var/tmp writable, with what the image has there, unless it is told not to", async () => {
    const script =
      "for f in /x /etc/x /run/x /tmp/x /var/tmp/x; do touch $f 2>/dev/null && echo $f; done; stat -c '%a %n' /tmp /run";
    expect(await host.shOutput(script, "--read-only")).toBe("/run/x\n/tmp/x\n/var/tmp/x\n1777 /tmp\n755 /run");
    expect(await host.shOutput(script, "--read-only", "--read-only-tmpfs=false")).toBe("1777 /tmp\n755 /run");
    expect(await host.shOutput("ls /tmp", "--read-only", "-v", "data:/tmp")).toBe("");
    await host.must("volume", "rm", "data");
    await host.must(
      "run",
      "--network",
      "none",
      "--name",
      "made",
      "starter",
      "sh",
      "-c",
      "mkdir -m 700 /run/app; chown 7:8 /run/app; echo x > /run/app/f",
    );
    await host.must("commit", "made", "made:1");
    const look = [...quietRun, "--read-only", "made:1", "sh", "-c", "stat -c '%a %u %g' /run/app; cat /run/app/f"];
    expect(await host.must(...look)).toBe("700 7 8\nx");
    await host.must("rm", "made");
    await host.must("rmi", "made:1");
  });

  test("cp into a stopped container goes into its volumes, and out of them", async () => {
    await host.must("run", "--network", "none", "--name", "box", "-v", "data:/d", "starter", "mkdir", "-p", "/d/sub");
    await host.must(
      "create",
      "--network",
      "none",
      "--name",
      "part",
      "--mount",
      "src=data,dst=/p,subpath=sub",
      "starter",
      "true",
    );
    writeFileSync(at("one"), "1\n");
    await host.must("cp", "-q", "one", "box:/d/sub/one");
    expect(await host.shOutput("cat /d/sub/one", "-v", "data:/d")).toBe("1");
    await host.must("cp", "-q", "box:/d/sub/one", "back");
    await host.must("start", "part");
    await host.must("wait", "part");
    await host.must("cp", "-q", "part:/p/one", "again");
    await host.must("rm", "box", "part");
    await host.must("volume", "rm", "data");
  });

  test("nothing of a container's mounts is left, also where it can't start", async () => {
    await host.must("run", "--network", "none", "--name", "base", "starter", "true");
    const options = ["--read-only", "--mount", "type=image,src=starter,dst=/i", "-v", "/anon", "--rm"];
    expect((await host.pod("run", "-q", "--network", "none", ...options, "starter", "nosuch")).code).toBe(127);
    await host.must("rm", "base");
    expect(await host.must("volume", "ls", "-q")).toBe("");
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });
});

onAllDrivers("--mount type=image", (host) => {
  test("shows an image's files, all or a part, read-only", async () => {
    await makeImage(host);
    const mounts = [
      "--mount",
      "type=image,src=two:1,dst=/i",
      "--mount",
      "type=image,source=two:1,target=/part,image-subpath=etc/own",
    ];
    const { stdout, stderr } = await host.sh(
      "cat /i/etc/own/file /part/file; ls /i/etc/motd; touch /i/x /part/x",
      ...mounts,
    );
    expect(stdout).toBe("of two\nof two\n");
    expect(stderr.match(/Read-only file system/g)).toHaveLength(2);
    expect(stderr).toContain("/i/etc/motd: No such file");
    const missing = await host.sh("true", "--mount", "type=image,src=two:1,dst=/i,subpath=nosuch");
    expect(missing).toMatchObject({ code: 125, stderr: expect.stringContaining("nosuch") });
  });

  test("keeps the image from removal, and works at each start", async () => {
    await host.must(
      "create",
      "--network",
      "none",
      "--name",
      "user",
      "--mount",
      "type=image,src=two:1,dst=/i",
      "starter",
      "cat",
      "/i/etc/own/file",
    );
    expect((await host.pod("rmi", "two:1")).stderr).toContain("image is being used by stopped container");
    await host.must("image", "prune", "-af");
    expect(await host.must("start", "-a", "user")).toBe("of two");
    expect(await host.must("start", "-a", "user")).toBe("of two");
    const [{ Mounts }] = JSON.parse(await host.must("inspect", "user"));
    expect(Mounts).toMatchObject([{ Type: "image", Destination: "/i", RW: false }]);
    await host.must("rm", "user");
    await host.must("rmi", "two:1");
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });

  test("an image that is not here is pulled, as the container's own is", async () => {
    const registry = await startRegistry();
    try {
      const image = await pushImage(registry, "mounted", [[...shell(), file("word", "pulled")]]);
      const options = ["--rm", "--network", "none", "--mount", `type=image,src=${image},dst=/i`];
      const { code, stdout, stderr } = await host.pod("run", ...options, "starter", "cat", "/i/word");
      expect({ code, stdout, stderr: stderr.slice(-200) }).toMatchObject({ code: 0, stdout: "pulled" });
      await host.must("rmi", image);
    } finally {
      await registry.stop();
    }
  });

  test("an image that is nowhere is an error", async () => {
    const { code, stderr } = await host.sh("true", "--pull", "never", "--mount", "type=image,src=nosuch:1,dst=/i");
    expect(code).toBe(125);
    expect(stderr).toContain("No such image: nosuch:1");
  });
});

/** `two:1`: a layer more, which adds a file and deletes one. */
async function makeImage(host: Host): Promise<void> {
  const script = "mkdir -p /etc/own; echo 'of two' > /etc/own/file; rm -f /etc/motd";
  await host.must("run", "--network", "none", "--name", "maker", "starter", "sh", "-c", script);
  await host.must("commit", "maker", "two:1");
  await host.must("rm", "maker");
}
