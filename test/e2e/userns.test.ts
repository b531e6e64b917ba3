import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { file, folder, hardLink, symlink } from "../storage/archive.ts";
import { pushImage, shell } from "./crafted.ts";
import { onBothDrivers, quietRun } from "./harness.ts";
import { run } from "./tools.ts";

/** cap_net_bind_service=ep: linux/capability.h, vfs_cap_data. */
const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");

/** Owners of these members in what `tar -tv` lists. */
function ownersIn(listed: string, names: string[]): string[] {
  const lines = listed.split("\n").map((line) => line.split(/\s+/));
  return names.map((name) => lines.find((words) => words[5] === name)?.[1] ?? "missing");
}

/** keep-id adds the caller to the image's accounts. */
function accounts(userns: string): string[] {
  return userns === "keep-id" ? ["C /etc", "C /etc/passwd"] : [];
}

onBothDrivers("--userns", (host, driver) => {
  let registry: TestRegistry;
  let app: string;
  /** With all that an owner's change could break. */
  let odd: string;
  const [uid, gid] = [process.getuid!(), process.getgid!()];
  const owner = (name: string) => {
    const status = statSync(join(host.work, name));
    return `${status.uid}:${status.gid}`;
  };

  beforeAll(async () => {
    registry = await startRegistry();
    const passwd = "root:x:0:0::/root:/bin/sh\napp:x:4711:4712::/home/app:/bin/sh\n";
    const files = [
      file("etc/passwd", passwd),
      file("etc/group", "app:x:4712:\n"),
      file("own", "app's", { uid: 4711, gid: 4712, mode: 0o600 }),
    ];
    app = await pushImage(registry, "app", [shell(), files], { config: { User: "app", Cmd: ["sh"] } });
    await host.must("pull", "-q", app);
    const users = { uid: 4711, gid: 4712 };
    const below = [
      { ...file("sbin/su"), content: readFileSync("/bin/busybox"), mode: 0o4755 },
      {
        ...file("cap/grep"),
        content: readFileSync("/bin/busybox"),
        mode: 0o755,
        pax: { "SCHILY.xattr.security.capability": capability },
      },
      ...["stat", "rm", "tail", "tr", "cut", "sleep", "touch", "chown", "grep"].map((name) =>
        symlink(`bin/${name}`, "busybox"),
      ),
      folder("dev"),
      folder("proc"),
      folder("hidden"),
      file("hidden/gone"),
      folder("opaque"),
      file("opaque/old"),
      file("l/first", "", { ...users, mode: 0o640 }),
      hardLink("l/second", "l/first"),
      file("others", "all's\n", { ...users, mode: 0o604 }),
      folder("mine", users),
      file("mine/x", "", users),
    ];
    const above = [
      file("etc/passwd", "root::0:0::/root:/bin/sh\napp:x:4711:4712::/home/app:/bin/sh\n"),
      file("own", "app's\n", { ...users, mode: 0o600 }),
      file("hidden/.wh.gone"),
      file("opaque/.wh..wh..opq"),
      file("opaque/new"),
    ];
    odd = await pushImage(registry, "odd", [shell(), below, above], { config: { User: "app", Cmd: ["sh"] } });
    await host.must("pull", "-q", odd);
    mkdirSync(join(host.work, "d"));
    writeFileSync(join(host.work, "d/mine"), "");
  });
  afterAll(() => registry.stop());

  test("keep-id: the caller has the same ids inside, root's files stay root's, and files that are made are the caller's", async () => {
    const first = await host.sh(
      "id -u; id -g; stat -c '%u %n' /bin /etc/passwd /d/mine; touch /d/new; touch /x",
      "--userns",
      "keep-id",
      "-v",
      "./d:/d",
    );
    expect(first.stdout).toBe(`${uid}\n${gid}\n0 /bin\n0 /etc/passwd\n${uid} /d/mine\n`);
    const mapped = driver === "overlay" ? "the image's files" : "ids";
    expect(first.stderr).toStartWith(`note: --userns maps ${mapped} by fuse-overlayfs, which is slower`);
    expect(first.stderr).toContain("/x: Permission denied");
    expect(owner("d/new")).toBe(`${uid}:${gid}`);
    const second = await host.sh("true", "--userns", "keep-id");
    expect(second).toMatchObject({ code: 0, stderr: "" }); // it is said once
  });

  test("keep-id: the caller has a name and a home inside, unless the image has given them", async () => {
    const me = Bun.spawnSync(["id", "-un"]).stdout.toString().trim();
    const script = "id -un; id -gn; echo ~; cat /etc/passwd | wc -l";
    const lines = (await host.shOutput(script, "--userns", "keep-id", "-w", "/work")).split("\n");
    expect(lines.slice(0, 3)).toEqual([me, me, "/work"]);
    const ids = ["--userns", "keep-id:uid=4711,gid=4712"];
    expect(await host.must(...quietRun, ...ids, app, "sh", "-c", "id -un; cat /etc/passwd")).toBe(
      "app\nroot:x:0:0::/root:/bin/sh\napp:x:4711:4712::/home/app:/bin/sh",
    );
    await host.must(
      "create",
      "--network",
      "none",
      "--userns",
      "keep-id",
      "--name",
      "twice",
      "starter",
      "cat",
      "/etc/passwd",
    );
    const first = await host.must("start", "-a", "twice");
    expect(await host.must("start", "-a", "twice")).toBe(first);
    await host.must("rm", "twice");
  });

  test("keep-id with other ids, and with another user", async () => {
    const script = "id -u; id -g; touch /d/other; stat -c '%u:%g' /d/mine";
    expect(await host.shOutput(script, "--userns", "keep-id:uid=2000,gid=3000", "-v", "./d:/d")).toBe(
      "2000\n3000\n2000:3000",
    );
    expect(owner("d/other")).toBe(`${uid}:${gid}`);
    expect(await host.shOutput("id -u; echo x > /root/x; stat -c %u /root/x", "--userns", "keep-id", "-u", "0")).toBe(
      "0\n0",
    );
  });

  test("caller: the image's user is the caller", async () => {
    const script = "id -u; cat /own; echo made > /d/by-app; ls -ln /d/mine | cat";
    const output = await host.must(...quietRun, "--userns", "caller", "-v", "./d:/d", app, "sh", "-c", script);
    expect(output).toMatch(/^4711\napp's-rw.* 4711 +4712 /);
    expect(owner("d/by-app")).toBe(`${uid}:${gid}`);
    expect(await host.shOutput("cat /proc/self/uid_map | head -1 | tr -s ' '", "--userns", "caller")).toBe(" 0 0 1");
  });

  test("exec, restart, commit, diff and a volume go by the same ids", async () => {
    const options = ["--network", "none", "--name", "kept", "--userns", "caller", "-v", "data:/etc", "-v", "./d:/d"];
    await host.must("run", "-d", ...options, app, "sh", "-c", "while :; do :; done");
    expect(await host.must("exec", "kept", "sh", "-c", "echo x > /d/by-exec; id -u")).toBe("4711");
    expect(owner("d/by-exec")).toBe(`${uid}:${gid}`);
    await host.must("exec", "-u", "0", "kept", "sh", "-c", "echo x > /by-root");
    expect(await host.must("exec", "kept", "sh", "-c", "ls -ln /etc/passwd")).toMatch(/ 0 +0 /);
    expect(await host.must("inspect", "-f", "{{.HostConfig.UsernsMode}} {{.Driver}}", "kept")).toBe(
      `caller:uid=4711,gid=4712 ${driver}`,
    );
    await host.must("stop", "-t", "0", "kept");
    expect(await host.must("diff", "kept")).toContain("A /by-root");
    await host.must("commit", "kept", "kept:1");
    expect(await host.must(...quietRun, "-u", "0", "kept:1", "ls", "-ln", "/by-root", "/own")).toMatch(
      / 0 +0 .*by-root\n.* 4711 +4712 .*own/,
    );
    await host.must("start", "kept");
    expect(await host.must("exec", "kept", "id", "-u")).toBe("4711");
    await host.must("rm", "-f", "kept");
    await host.must("rmi", "kept:1");
    await host.must("volume", "rm", "data");
  });

  test("in another container's network the ids are mapped as well, and exec finds both", async () => {
    await host.must("run", "-d", "--name", "lender", "--network", "none", "starter", "sleep", "100");
    const options = ["--userns", "keep-id", "--network", "container:lender"];
    await host.must("run", "-d", "--name", "guest", ...options, "starter", "sleep", "100");
    const network = await host.must("exec", "lender", "readlink", "/proc/1/ns/net");
    const script = "id -u; readlink /proc/1/ns/net; readlink /proc/self/ns/net";
    expect(await host.must("exec", "guest", "sh", "-c", script)).toBe(`${uid}\n${network}\n${network}`);
    await host.must("rm", "-f", "guest", "lender");
  });

  for (const [mode, text] of [
    ["nomap", "user namespace mode nomap is not supported"],
    ["keep-id:uid=99999999", "99999999"],
    ["auto:size=99999999", "user namespace mode auto: could not find enough available uids: 99999999 are wanted"],
    ["auto:uidmapping=0:99999999", "uidmapping: 99999999 is none of your ids, which go from 0, you, to "],
    ["keep-id:name=x", 'unknown option specified: "name=x"'],
  ] as const) {
    test(`--userns ${mode} is an error that says so`, async () => {
      const { code, stderr } = await host.sh("true", "--userns", mode);
      expect(code).toBe(125);
      expect(stderr).toContain(text);
    });
  }

  test("a driver that can't map ids is refused where it was asked for", async () => {
    const { code, stderr } = await host.sh("true", "--userns", "keep-id", "--storage-driver", "vfs");
    expect(code).toBe(125);
    expect(stderr).toContain("user namespace mode keep-id needs the storage driver overlay or fuse-overlayfs, not vfs");
  });

  const mapOf = (text: string) =>
    text.split("\n").map((line) => line.trim().split(/\s+/).map(Number) as [number, number, number]);
  const uidMap = async (name: string) => mapOf(await host.must("exec", name, "cat", "/proc/1/uid_map"));
  const start = (name: string, userns: string, ...more: string[]) =>
    host.must("run", "-d", "--network", "none", "--name", name, "--userns", userns, ...more);

  test("auto: containers have ids that neither the caller nor another one has, and nobody's too", async () => {
    await start("first", "auto", "starter", "sleep", "100");
    await start("second", "auto:size=300", "starter", "sleep", "100");
    const [first, second] = [await uidMap("first"), await uidMap("second")];
    expect(first.map(([inner, , size]) => [inner, size])).toEqual([
      [0, 1024],
      [65534, 1],
    ]);
    expect(second.map(([inner, , size]) => [inner, size])).toEqual([[0, 300]]);
    const ids = [...first, ...second].flatMap(([, outer, size]) =>
      Array.from({ length: size }, (_, each) => outer + each),
    );
    expect(new Set(ids).size).toBe(1325);
    expect(ids).not.toContain(0);
    const words = await host.must(
      "inspect",
      "-f",
      "{{.HostConfig.UsernsMode}} {{json .HostConfig.IDMappings}}",
      "second",
    );
    const recorded = `0:${second[0]![1]}:300`;
    expect(words).toBe(`auto ${JSON.stringify({ UidMap: [recorded], GidMap: [recorded] })}`);
    await host.must("rm", "-f", "first", "second");
  });

  test("auto: the image's files are root's and its users', the caller's are nobody's, unless the caller was mapped", async () => {
    const script = "id -u; touch /new; stat -c %u:%g / /bin /new /own /d/mine";
    const output = await host.must(...quietRun, "-u", "0", "--userns", "auto", "-v", "./d:/d", odd, "sh", "-c", script);
    expect(output).toBe("0\n0:0\n0:0\n0:0\n4711:4712\n65534:65534");
    const closed = await host.sh("touch /d/new-by-auto", "--userns", "auto", "-v", "./d:/d");
    expect(closed).toMatchObject({ code: 1, stderr: "touch: /d/new-by-auto: Permission denied\n" });
    const mapped = "auto:uidmapping=5:0:1,gidmapping=6:0:1";
    const given = "id -u; stat -c %u:%g /d/mine; touch /d/mapped; cat /proc/self/uid_map | wc -l";
    expect(await host.shOutput(given, "--userns", mapped, "-u", "5:6", "-v", "./d:/d")).toBe("5\n5:6\n4");
    expect(owner("d/mapped")).toBe(`${uid}:${gid}`);
  });

  test("auto: ids are free again when the container is removed, and where there are too few an error says so", async () => {
    const mapped = mapOf(await host.shOutput("cat /proc/self/uid_map"));
    const most = Math.ceil(mapped.reduce((sum, [, , size]) => sum + size, 0) * 0.6);
    const options = ["create", "--userns", `auto:size=${most}`];
    await host.must(...options, "--name", "large", "starter");
    const { code, stderr } = await host.pod(...options, "starter");
    expect(code).toBe(125);
    expect(stderr).toMatch(
      /: could not find enough available uids: \d+ are wanted, and \d+ of yours are free; 1 container has ids of its own\nhint: .*pod rm/,
    );
    await host.must(...options, "--name", "large", "--replace", "starter"); // the former one's are free
    await host.must("rm", "large");
    await host.must(...options, "--name", "large", "starter");
    await host.must("rm", "large");
  });

  test("auto: containers that are made at once get ids of their own", async () => {
    const made = await Promise.all(
      Array.from({ length: 12 }, () => host.must("create", "--userns", "auto", "starter")),
    );
    const maps = JSON.parse(await host.must("inspect", ...made)) as {
      HostConfig: { IDMappings: { UidMap: string[] } };
    }[];
    const first = maps.map(({ HostConfig }) => HostConfig.IDMappings.UidMap[0]!.split(":")[1]);
    expect(new Set(first).size).toBe(12);
    await host.must("rm", ...made);
  });

  for (const userns of ["keep-id", "auto", "keep-id:uid=0,gid=7"]) {
    test(`${userns}: setuid bits, capabilities, hard links, hidden files and other owners are as in the image`, async () => {
      const run = [...quietRun, "--userns", userns, "-u", "4711:4712", odd];
      const script = `
        /sbin/su root -c 'id -u'
        grep CapEff /proc/self/status
        /cap/grep CapEff /proc/self/status
        stat -c '%h %u:%g %a' /l/first /l/second /sbin/su
        [ /l/first -ef /l/second ] && echo same
        ls /hidden /opaque
        cat /own; cat /others
        rm -r /mine/* && echo y > /mine/x && ls -ln /mine | tail -n 1 | tr -s ' ' | cut -d' ' -f3,4
      `;
      expect(await host.must(...run, "sh", "-c", script)).toBe(
        [
          "0",
          "CapEff:\t0000000000000000",
          "CapEff:\t0000000000000400",
          "2 4711:4712 640",
          "2 4711:4712 640",
          "1 0:0 4755",
          "same",
          "/hidden:\n\n/opaque:\nnew",
          "app's",
          "all's",
          "4711 4712",
        ].join("\n"),
      );
    });
  }

  for (const userns of ["keep-id", "auto"]) {
    test(`${userns}: diff, commit, export and cp tell the container's owners`, async () => {
      await start(
        "told",
        userns,
        "-u",
        "0",
        odd,
        "sh",
        "-c",
        "chown 12:13 /others; echo new > /made; chown 4711:0 /made; rm /own; while :; do sleep 1; done",
      );
      while (!(await host.must("diff", "told")).includes("D /own")) await Bun.sleep(20);
      for (const state of ["running", "stopped"]) {
        if (state === "stopped") await host.must("stop", "-t", "0", "told");
        expect((await host.must("diff", "told")).split("\n").toSorted()).toEqual(
          ["A /made", "C /others", "D /own", ...accounts(userns)].toSorted(),
        );
        await host.must("export", "-o", "told.tar", "told");
        const listed = await run(["tar", "--numeric-owner", "-tvf", "told.tar"], { cwd: host.work });
        expect(ownersIn(listed, ["made", "others", "l/first", "sbin/su"])).toEqual([
          "4711/0",
          "12/13",
          "4711/4712",
          "0/0",
        ]);
        await host.must("commit", "told", "told:1");
        const owners = "stat -c %u:%g /made /others /l/first /sbin/su";
        expect(await host.must(...quietRun, "-u", "0", "told:1", "sh", "-c", owners)).toBe(
          "4711:0\n12:13\n4711:4712\n0:0",
        );
        await host.must("rmi", "told:1");
      }
      for (const state of ["stopped", "running"]) {
        if (state === "running") await host.must("start", "told");
        const { bytes } = await host.pod("cp", "told:/made", "-");
        writeFileSync(join(host.work, "made.tar"), bytes);
        expect(await run(["tar", "--numeric-owner", "-tvf", "made.tar"], { cwd: host.work })).toContain(" 4711/0 ");
        expect((await host.podWith({ stdin: bytes }, "cp", "-", "told:/mine")).code).toBe(0);
        await host.must("cp", "d/mine", "told:/mine/copied");
      }
      expect(await host.must("exec", "told", "stat", "-c", "%u:%g", "/mine/made", "/mine/copied")).toBe("4711:0\n0:0");
      await host.must("rm", "-f", "told");
    });
  }

  test("auto: a volume's files, a secret, an image and the standard streams are the container's users'", async () => {
    await host.podWith({ stdin: "word" }, "secret", "create", "word", "-");
    const options = [
      "--network",
      "none",
      "--name",
      "given",
      "--userns",
      "auto",
      "-v",
      "kept:/mine",
      "-v",
      "handed:/data:U",
    ];
    const more = ["--secret", "word,uid=4711,mode=0400", "--mount", `type=image,source=${odd},target=/other`];
    const script = "echo out > /dev/stdout; echo err > /dev/stderr; while :; do sleep 1; done";
    await host.must("run", "-d", ...options, ...more, odd, "sh", "-c", script);
    const look =
      "echo exec > /dev/stdout; cat /run/secrets/word; echo; stat -c %u:%g /mine/x /data /other/others /other/sbin/su; touch /data/y";
    expect(await host.must("exec", "given", "sh", "-c", look)).toBe("exec\nword\n4711:4712\n4711:4712\n4711:4712\n0:0");
    const { stdout, stderr } = await host.pod("logs", "given");
    expect([stdout, stderr]).toEqual(["out\n", "err\n"]);
    await host.must("restart", "-t", "0", "given");
    expect(await host.must("exec", "given", "stat", "-c", "%u", "/data/y")).toBe("4711");
    await host.must("rm", "-f", "given");
    await host.must("volume", "rm", "kept", "handed");
    await host.must("secret", "rm", "word");
  });

  test("--explain shows what is mounted, and by whom ids are mapped", async () => {
    const { rootfs, spec } = JSON.parse(
      await host.must("run", "--explain", "--format", "json", "--userns", "auto:size=7", "starter"),
    );
    const fuse = driver === "overlay" ? rootfs.lower : rootfs;
    expect([rootfs.driver, fuse.driver]).toEqual([driver, "fuse-overlayfs"]);
    const [{ containerID, hostID, size }] = spec.linux.uidMappings;
    expect([containerID, size]).toEqual([0, 7]);
    expect(fuse.options).toContain(`uidmapping=0:${hostID}:7`);
    if (driver === "overlay") expect(rootfs.options).toContain("lowerdir=containers/");
    const text = await host.must("run", "--explain", "--userns", "auto:size=7", "starter");
    expect(text).toContain(`uidmapping=0:${hostID}:7`);
    expect(text.includes("the image's files go through fuse-overlayfs")).toBe(driver === "overlay");
  });

  test("a container whose fuse-overlayfs is killed ends, and says why", async () => {
    await start("widowed", "keep-id", "starter", "sleep", "100");
    const id = await host.must("inspect", "-f", "{{.Id}}", "widowed");
    const [pid] = (await run(["pgrep", "-f", `fuse-overlayfs .*${id}`], { cwd: host.work })).split("\n");
    process.kill(Number(pid), "SIGKILL");
    expect(await host.must("wait", "widowed")).toBe("137");
    expect(await host.must("inspect", "-f", "{{.State.Error}}", "widowed")).toContain("fuse-overlayfs ended");
    await host.must("rm", "widowed");
  });
});
