import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { file } from "../storage/archive.ts";
import { pushImage, shell } from "./crafted.ts";
import { onBothDrivers, quietRun } from "./harness.ts";

onBothDrivers("--userns", (host) => {
  let registry: TestRegistry;
  let app: string;
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
    expect(first.stderr).toStartWith("note: --userns maps ids by fuse-overlayfs, which is slower");
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
      "caller:uid=4711,gid=4712 fuse-overlayfs",
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
    ["auto", "user namespace mode auto is not supported"],
    ["keep-id:uid=99999999", "99999999"],
    ["keep-id:name=x", 'unknown option specified: "name=x"'],
  ] as const) {
    test(`--userns ${mode} is an error that says so`, async () => {
      const { code, stderr } = await host.sh("true", "--userns", mode);
      expect(code).toBe(125);
      expect(stderr).toContain(text);
    });
  }

  test("a driver that can't map ids is refused where it was asked for", async () => {
    const { code, stderr } = await host.sh("true", "--userns", "keep-id", "--storage-driver", "overlay");
    expect(code).toBe(125);
    expect(stderr).toContain("user namespace mode keep-id needs the storage driver fuse-overlayfs, not overlay");
  });
});
