/** Known holes of container runtimes, each tried on the compiled binary. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { file, folder, symlink } from "../storage/archive.ts";
import { pushImage, shell } from "./crafted.ts";
import { binary, onBothDrivers } from "./harness.ts";

const run = ["run", "--rm", "--network", "none"];
let registry: TestRegistry;
beforeAll(async () => {
  registry = await startRegistry();
});
afterAll(() => registry.stop());

onBothDrivers("security", (host) => {
  /** Of the host, and none of a container's business. */
  const outside = () => join(host.work, "outside");
  beforeAll(async () => {
    mkdirSync(outside());
    writeFileSync(join(outside(), "secret"), "mine");
    await host.must(...run, "starter", "true");
  });
  const expectUntouched = () => {
    expect(readdirSync(outside())).toEqual(["secret"]);
    expect(readFileSync(join(outside(), "secret"), "utf8")).toBe("mine");
  };

  test("CVE-2019-5736: the binary can't be written through /proc/1/exe, nor /proc/self/exe as an entry point", async () => {
    const own = join(host.work, "pod"); // one that this user may write
    copyFileSync(binary, own);
    const digest = sha256(own);
    const attempt = async (...args: string[]) => {
      const child = Bun.spawn([own, ...run, ...args], {
        env: host.env,
        cwd: host.work,
        stdout: "pipe",
        stderr: "pipe",
      });
      const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      return { code: await child.exited, text: stdout + stderr };
    };
    const overwrite = "i=0; while [ $((i += 1)) -lt 99 ]; do printf evil > /proc/1/exe; done; readlink /proc/1/exe";
    const withInit = await attempt("--init", "starter", "sh", "-c", overwrite);
    expect(withInit.text).toMatch(/permission denied|text file busy/i);
    expect(withInit.text).toStartWith("/memfd:pod-init (deleted)\n"); // also once it may be opened it is not pod
    await attempt("starter", "/proc/self/exe", "version");
    const script = await pushImage(registry, "self", [
      [...shell(), { ...file("run", "#!/proc/self/exe\n"), mode: 0o755 }],
    ]);
    await attempt(script, "/run");
    expect(sha256(own)).toBe(digest);
  });

  for (const target of ["proc", "sys", "dev", "etc"]) {
    test(`CVE-2021-30465: an image's /${target} that is a symlink leads no mount out of the root file system`, async () => {
      const image = await pushImage(registry, `link-${target}-${host.env.STORAGE_DRIVER}`, [
        [...shell(), symlink(target, `../../../..${outside()}`)],
      ]);
      const { code, stderr } = await host.pod(...run, image, "/bin/sh", "-c", "echo ran");
      expectUntouched();
      if (code !== 0) {
        expect(code).toBe(125);
        expect(stderr).toContain(`/${target}`);
      }
    });
  }

  test("CVE-2021-30465: -v onto a symlink stays within the root file system", async () => {
    const image = await pushImage(registry, `link-v-${host.env.STORAGE_DRIVER}`, [
      [...shell(), folder("inside"), symlink("data", `/../../../..${outside()}`), symlink("well", "/inside")],
    ]);
    const source = join(host.work, "source");
    mkdirSync(source, { recursive: true });
    writeFileSync(join(source, "file"), "bound");
    await host.pod(...run, "-v", `${source}:/data`, image, "/bin/sh", "-c", "echo x > /data/new");
    expectUntouched();
    expect(await host.must(...run, "-v", `${source}:/well:ro`, image, "cat", "/inside/file")).toBe("bound");
  });

  test("CVE-2025-31133: masked paths are masked whatever the image has for /dev/null", async () => {
    const image = await pushImage(registry, `null-${host.env.STORAGE_DRIVER}`, [
      [
        ...shell(),
        folder("dev"),
        symlink("dev/null", "/proc/sysrq-trigger"),
        symlink("dev/console", "/proc/sysrq-trigger"),
      ],
    ]);
    const script = "ls -l /dev/null; cat /proc/keys | /bin/busybox wc -c; ls /sys/firmware";
    const { stdout } = await host.pod(...run, image, "/bin/sh", "-c", script);
    expect(stdout).toMatch(/^c.* 1, +3 .*\/dev\/null\n0\n$/);
    const kernel = "echo x > /proc/sys/kernel/core_pattern";
    expect((await host.pod(...run, image, "/bin/sh", "-c", kernel)).stderr).toMatch(/read-only file system/i);
  });

  test("CVE-2024-21626: no descriptor and no working directory of the host is inside", async () => {
    expect(await host.must(...run, "starter", "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '")).toMatch(/^0 1 2 3? ?$/);
    for (const fd of [3, 4, 5, 6, 7, 8, 9, 10, 12]) {
      const { code, stdout, stderr } = await host.pod(
        ...run,
        "-w",
        `/proc/self/fd/${fd}`,
        "starter",
        "sh",
        "-c",
        "ls ../../..",
      );
      expect({ fd, code, stdout }).toMatchObject({ code: expect.any(Number) });
      if (code === 0) expect(stdout).toBe(await host.must(...run, "starter", "ls", "/"));
      else expect(stderr).toContain("working directory");
    }
    expectUntouched();
  });

  test("a bunfig.toml and a .env of the current directory change nothing", async () => {
    const cwd = join(host.work, "cloned");
    mkdirSync(cwd);
    writeFileSync(join(cwd, "bunfig.toml"), 'preload = ["./evil.ts"]\n[run]\npreload = ["./evil.ts"]\n');
    writeFileSync(join(cwd, "evil.ts"), `require("fs").writeFileSync(${JSON.stringify(join(outside(), "evil"))}, "")`);
    writeFileSync(
      join(cwd, ".env"),
      `XDG_DATA_HOME=${outside()}\nSTORAGE_DRIVER=none\nBUN_OPTIONS=--preload=./evil.ts\n`,
    );
    expect((await host.podWith({ cwd }, "version")).code).toBe(0);
    expect(await host.podWith({ cwd }, ...run, "starter", "echo", "ran")).toMatchObject({
      code: 0,
      stdout: "ran\n",
      stderr: "",
    });
    expectUntouched();
  });

  test("the environment of an image or of -e changes nothing of what pod does", async () => {
    const hostile = [
      "BUN_OPTIONS=--preload=/evil.ts",
      "BUN_BE_BUN=1",
      "LD_PRELOAD=/evil.so",
      "XDG_DATA_HOME=/evil",
      "BUN_JSC_useJIT=0",
      "PATH=/evil",
    ];
    const image = await pushImage(registry, "env", [shell()], { config: { Env: hostile } });
    for (const init of [[], ["--init"]]) {
      const fromImage = await host.pod(...run, ...init, image, "/bin/sh", "-c", "echo $XDG_DATA_HOME");
      expect(fromImage).toMatchObject({ code: 0, stdout: "/evil\n" });
      const options = hostile.flatMap((entry) => ["-e", entry]);
      const given = await host.pod(...run, ...init, ...options, "starter", "/bin/sh", "-c", "echo $BUN_OPTIONS");
      expect(given).toMatchObject({ code: 0, stdout: "--preload=/evil.ts\n", stderr: "" });
    }
  });

  test("the store is 0700, and stays so", async () => {
    expect(statSync(host.dataDir).mode & 0o777).toBe(0o700);
  });

  test("deletion follows no link and leaves what was bound", async () => {
    const script = `ln -s ${outside()} /link; mkdir -p /root/d; ln -s /data /root/d/x; touch /data/made`;
    const source = join(host.work, "bound");
    await host.must(
      "run",
      "--name",
      "linker",
      "--network",
      "none",
      "-v",
      `${source}:/data`,
      "starter",
      "sh",
      "-c",
      script,
    );
    await host.must("rm", "linker");
    expect(existsSync(join(source, "made"))).toBe(true);
    expectUntouched();
  });

  test("containers hold no capability over each other or the host", async () => {
    const image = "starter";
    const id = await host.must("run", "-d", "--network", "none", "-e", "TOKEN=s3cret", image, "sleep", "60");
    try {
      const pid = Number(await host.must("inspect", "--format", "{{.State.Pid}}", id));
      const targets = { container: pid, host: process.pid, monitor: parentOf(pid) };
      const status = await host.must(...run, image, "grep", "-E", "Cap(Eff|Prm|Bnd|Inh|Amb)", "/proc/self/status");
      expect([...status.matchAll(/\t(\w+)/g)].map((match) => match[1])).toEqual([
        "0000000000000000",
        "00000000a80425fb",
        "00000000a80425fb",
        "00000000a80425fb",
        "0000000000000000",
      ]);
      for (const target of Object.values(targets)) {
        // With the host's /proc in sight: the user namespaces alone have to hold.
        const script = `cd /h/${target} || exit 0; cat environ; ls root/; readlink fd/0; cat mem; busybox nsenter --user=/h/${target}/ns/user true && echo entered;
busybox nsenter --mount=/h/${target}/ns/mnt true && echo entered; echo 1 > oom_score_adj && echo written; true`;
        const { stdout, stderr } = await host.pod(...run, "-v", "/proc:/h:ro", image, "sh", "-c", script);
        expect({ target, stdout, stderr }).toEqual({
          target,
          stdout: "",
          stderr: expect.stringMatching(/permission denied|not permitted/i),
        });
      }
      const alone = await host.must(
        ...run,
        image,
        "sh",
        "-c",
        "kill -9 -1; ps | wc -l; mount -t tmpfs x /etc 2>&1; umount /proc 2>&1; true",
      );
      expect(alone).toMatch(/^[34]\n.*(permission denied|not permitted).*\n.*(permission denied|not permitted)/i);
      expect(await host.must("ps", "-q", "--no-trunc")).toBe(id);
    } finally {
      await host.must("rm", "-f", id);
    }
  });

  test("setuid files of layers belong to no root of the host", async () => {
    const image = await pushImage(registry, "setuid", [[...shell(), { ...file("bin/su", "x"), mode: 0o6755 }]]);
    await host.must("pull", "-q", image);
    const found = Bun.spawnSync(["find", host.dataDir, "-perm", "-4000", "-printf", "%U\n"]).stdout.toString();
    expect(found).toBe(`${process.getuid!()}\n`);
  });

  test("a container has a session keyring of its own", async () => {
    const sessions = (text: string) =>
      text
        .split("\n")
        .filter((line) => / _ses/.test(line))
        .map((line) => line.split(" ")[0]);
    const own = sessions(readFileSync("/proc/keys", "utf8"));
    const inside = sessions(await host.must(...run, "-v", "/proc:/h:ro", "starter", "cat", "/h/keys"));
    // Those of this user's other sessions are listed too, for the kernel's uid is the same.
    expect(inside.filter((key) => !own.includes(key))).not.toEqual([]);
  });

  test("what a container makes on disk belongs to no other user of the host", async () => {
    await host.must(
      "run",
      "--name",
      "owner",
      "--network",
      "none",
      "starter",
      "sh",
      "-c",
      "touch /mine; chmod 4755 /mine",
    );
    const upper = join(host.dataDir, "containers", await host.must("inspect", "--format", "{{.Id}}", "owner"), "upper");
    expect(lstatSync(join(upper, "mine")).uid).toBe(process.getuid!());
    await host.must("rm", "owner");
  });
});

function sha256(path: string): string {
  return new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex");
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
}
