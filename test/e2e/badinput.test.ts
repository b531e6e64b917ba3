/** What goes wrong outside pod: each gives a clear error and the right exit code, and leaves nothing. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { cut, type Fault, startProxy } from "../net/client.ts";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { file, hardLink, symlink } from "../storage/archive.ts";
import { pushImage, shell } from "./crafted.ts";
import { binary, Host, onBothDrivers, type Result } from "./harness.ts";

const run = ["run", "--rm", "--network", "none"];
let registry: TestRegistry;
beforeAll(async () => {
  registry = await startRegistry();
});
afterAll(() => registry.stop());

function expectError({ code, stdout, stderr }: Result, wantedCode: number, words: string | RegExp): void {
  expect({ code, stdout, stderr }).toEqual({
    code: wantedCode,
    stdout: "",
    stderr: typeof words === "string" ? expect.stringContaining(words) : expect.stringMatching(words),
  });
}

onBothDrivers("bad input", (host) => {
  beforeAll(async () => void (await host.must(...run, "starter", "true")));
  const nothingIsLeft = async () => expect(await host.leftoversWithoutImages()).toEqual([]);

  const cases: [string, string[], number, string | RegExp][] = [
    [
      "an unknown user",
      ["-u", "nobody2", "starter", "true"],
      125,
      "unable to find user nobody2: no matching entries in passwd file",
    ],
    ["an unknown group", ["-u", "0:none2", "starter", "true"], 125, "unable to find group none2"],
    [
      "a working directory that is a file",
      ["-w", "/etc/passwd", "starter", "true"],
      125,
      /working directory \/etc\/passwd: .*not a directory/i,
    ],
    ["a relative working directory", ["-w", "x", "starter", "true"], 125, "the working directory 'x' is invalid"],
    ["an unknown command", ["starter", "nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'],
    [
      "an unknown path of a command",
      ["starter", "/no/such"],
      127,
      'exec: "/no/such": stat /no/such: no such file or directory',
    ],
    ["a command that is not executable", ["starter", "/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'],
    ["a command that is no program", ["-v", "FORMAT:/p", "starter", "/p"], 126, 'exec: "/p": exec format error'],
    ["an unknown storage driver", ["--storage-driver", "zfs", "starter", "true"], 125, "unknown storage driver zfs"],
    [
      "a platform that the image does not have",
      ["--pull", "always", "--platform", "linux/s390x", "starter", "true"],
      125,
      /s390x/,
    ],
    [
      "an image that is not there, without a pull",
      ["--pull", "never", "nosuch", "true"],
      125,
      /No such image: nosuch:latest/i,
    ],
    ["a name of an image that can be none", ["UPPER", "true"], 125, "must be lowercase"],
    ["an unknown network", ["--network", "moon", "starter", "true"], 125, "moon"],
    [
      "an env file that is not there",
      ["--env-file", "/no/such", "starter", "true"],
      125,
      /\/no\/such: .*no such file/i,
    ],
  ];
  for (const [name, args, code, words] of cases) {
    test(name, async () => {
      const program = join(host.work, "format");
      writeFileSync(program, "\x7fELF no program", { mode: 0o755 });
      const given = args.map((word) => word.replace("FORMAT", program));
      expectError(
        await host.pod("run", "--rm", ...(args.includes("--network") ? [] : ["--network", "none"]), ...given),
        code,
        words,
      );
      await nothingIsLeft();
    });
  }

  test("a name in use", async () => {
    const id = await host.must("run", "-d", "--name", "twice", "--network", "none", "starter", "sleep", "60");
    const second = await host.pod("run", "--name", "twice", "--network", "none", "starter", "true");
    expectError(second, 125, `Conflict. The container name "/twice" is already in use by container "${id}"`);
    expect(await host.must("ps", "-aq", "--no-trunc")).toBe(id);
    await host.must("rm", "-f", "twice");
    await nothingIsLeft();
  });

  test("names that are none", async () => {
    await host.must("create", "--name", "good", "--network", "none", "starter");
    for (const name of ["x", "_a", "a b", "../up", "a/b", "a\nb", "ä1", "a\u0007b", "👋🏽", "n".repeat(256)]) {
      const words = `Invalid container name (${name.replace("\u0007", "\\x07")}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`;
      expectError(await host.pod("create", "--name", name, "starter"), 125, words);
      expectError(await host.pod(...run, "--name", name, "starter", "true"), 125, words);
      expectError(await host.pod("rename", "good", name), 1, words);
    }
    for (const name of ["../good", "a b", "", "n".repeat(5000)]) {
      expectError(await host.pod("rm", name), 1, /no such container|may not be empty/i);
    }
    expect(await host.must("ps", "-a", "--format", "{{.Names}}")).toBe("good");
    await host.must("rm", "good");
    await nothingIsLeft();
  });

  test("a pid that belongs to another process by now is never signalled", async () => {
    const bystander = Bun.spawn(["sleep", "60"]);
    const stat = readFileSync(`/proc/${bystander.pid}/stat`, "utf8");
    const startTime = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const otherBoot = bootId.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
    for (const identity of [
      { startTime: startTime - 1, bootId },
      { startTime, bootId: otherBoot },
    ]) {
      const process = { ...identity, pid: bystander.pid };
      const state = { status: "running", init: process, monitor: process, started: new Date().toISOString() };
      for (const command of ["stop", "kill", "restart", "rm -f"]) {
        const id = await host.must("create", "--name", "stale", "--network", "none", "starter", "true");
        writeFileSync(join(host.dataDir, "containers", id, "state.json"), JSON.stringify(state));
        expect(await host.must("ps", "-a", "--format", "{{.Status}}")).toStartWith("Exited (137)");
        await host.pod(...command.split(" "), "stale");
        await host.pod("rm", "-f", "stale");
      }
    }
    expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
    bystander.kill();
    await nothingIsLeft();
  });

  test("stdin, stdout and stderr closed", async () => {
    const closed = (which: string, ...args: string[]) =>
      Bun.spawnSync(["sh", "-c", `exec "$@" ${which}`, "sh", binary, ...run, ...args], {
        env: host.env,
        cwd: host.work,
        stdin: "ignore",
        stdout: "pipe",
        timeout: 20_000,
      });
    expect(closed("<&-", "-i", "starter", "cat")).toMatchObject({ exitCode: 0 });
    expect(closed(">&-", "starter", "echo", "x")).toMatchObject({ exitCode: 0 });
    expect(closed("<&- >&- 2>&-", "starter", "sh", "-c", "echo x; echo y >&2; exit 3")).toMatchObject({ exitCode: 3 });
    await nothingIsLeft();
  });

  test("a terminal that goes away ends the command, and not the container", async () => {
    const session = host.session("run", "-it", "--name", "hung", "--network", "none", "starter", "sh");
    session.type("echo $((40+2))\r");
    await session.waitFor("42");
    await session.close();
    expect(await host.must("ps", "--format", "{{.Names}}")).toMatch(/^(hung)?$/);
    await host.must("rm", "-f", "hung");
    await nothingIsLeft();
  });

  test("an image for another architecture says so", async () => {
    const image = await pushImage(
      registry,
      `arm-${host.env.STORAGE_DRIVER}`,
      [[{ ...file("bin/sh", armProgram()), mode: 0o755 }]],
      {
        platform: { os: "linux", architecture: "arm64" },
      },
    );
    const { code, stderr } = await host.pod(...run, "--platform", "linux/arm64", image, "/bin/sh");
    expect(code).toBe(126);
    expect(stderr).toContain('exec: "/bin/sh": exec format error');
    expect(stderr).toContain("--platform");
    await nothingIsLeft();
  });

  test("sixteen runs at once", async () => {
    const runs = Array.from({ length: 16 }, (_, i) => host.pod(...run, "starter", "echo", String(i)));
    const results = await Promise.all(runs);
    expect(results.map(({ code, stdout, stderr }) => ({ code, stdout, stderr }))).toEqual(
      results.map((_, i) => ({ code: 0, stdout: `${i}\n`, stderr: "" })),
    );
    await nothingIsLeft();
  });
});

describe("bad registries and images", () => {
  const host = new Host();
  beforeAll(() => host.open());
  afterAll(() => host.close(), 60_000);
  const nothingIsLeft = async () => expect(await host.leftoversWithoutImages()).toEqual([]);
  const through = async (fault: Fault, image: string, ...args: string[]) => {
    const proxy = startProxy(registry.host, fault);
    try {
      return await host.pod(...args, image.replace(registry.host, proxy.host));
    } finally {
      proxy.stop();
    }
  };

  test("a registry that is down is named, with the starter and the mirror setting", async () => {
    const { code, stderr } = await host.pod("run", "127.0.0.1:1/app", "true");
    expect(code).toBe(125);
    expect(stderr).toContain("127.0.0.1:1");
    expect(stderr).toMatch(/starter/);
    expect(stderr).toMatch(/mirror/);
    expect((await host.pod("pull", "127.0.0.1:1/app")).code).toBe(1);
    await nothingIsLeft();
  });

  test("an unknown image and an unknown tag", async () => {
    const image = await pushImage(registry, "known", [shell()]);
    expect(await host.pod("run", `${registry.host}/nosuch`, "true")).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/nosuch.*not found|not found.*nosuch/s),
    });
    expect(await host.pod("run", `${image}:2`, "true")).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("manifest unknown"),
    });
    await nothingIsLeft();
  });

  for (const [status, words] of [
    [401, /denied|login|unauthorized/i],
    [429, /toomanyrequests|too many requests|rate limit/i],
    [500, /500/],
  ] as const) {
    test(`status ${status} for everything`, async () => {
      const answer = () => new Response("{}", { status, headers: { "retry-after": "0" } });
      const { code, stderr } = await through(answer, `${registry.host}/known`, "pull");
      expect(code).toBe(1);
      expect(stderr).toMatch(words);
      await nothingIsLeft();
    });
  }

  test("half a blob, again and again, is taken up by the next command", async () => {
    const big = Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)));
    const image = await pushImage(registry, "big", [[...shell(), { ...file("noise"), content: big }]]);
    const half: Fault = async (request, pass) =>
      /blobs/.test(request.url) && !request.headers.get("range")
        ? await cut(await pass(), 300_000)
        : request.headers.get("range")
          ? new Response(null, { status: 404 })
          : undefined;
    const broken = await through(half, image, "pull");
    expect(broken.code).toBe(1);
    expect(await host.pod("pull", image)).toMatchObject({ code: 0 });
    expect(await host.must(...run, image, "/bin/sh", "-c", "/bin/busybox wc -c < /noise")).toBe("65536");
  });

  test("a blob with the wrong digest, and a manifest of 5 MB, are refused and leave nothing", async () => {
    const image = await pushImage(registry, "forged", [[...shell(), file("forged", "original")]]);
    const forge: Fault = (request) => (/blobs/.test(request.url) ? new Response("x".repeat(1000)) : undefined);
    const forged = await through(forge, image, "pull");
    expect(forged.code).toBe(1);
    expect(forged.stderr).toMatch(/digest|size|bytes/);
    const long: Fault = (request) => (/manifests/.test(request.url) ? new Response("x".repeat(5_000_000)) : undefined);
    const huge = await through(long, image, "pull");
    expect(huge.code).toBe(1);
    expect(huge.stderr).toMatch(/manifest/);
    await nothingIsLeft();
  });

  test("layers that would write elsewhere do not, and are refused or kept inside", async () => {
    const outside = join(host.work, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "secret"), "mine");
    const evil = {
      escape: [file(`../../../../../../../../..${outside}/new`, "x")],
      absolute: [symlink("way", outside), file("way/new", "x")],
      link: [hardLink("stolen", `../../../../../../../..${outside}/secret`)],
      chain: [symlink("a", ".."), symlink("a/b", ".."), file("a/b/c/new", "x")],
    };
    for (const [name, members] of Object.entries(evil)) {
      const image = await pushImage(registry, `evil-${name}`, [[...shell(), ...members]]);
      const { code, stderr } = await host.pod("pull", "-q", image);
      if (code !== 0) expect(stderr).toMatch(/layer/);
      expect(readdirSync(outside)).toEqual(["secret"]);
      expect(readFileSync(join(outside, "secret"), "utf8")).toBe("mine");
    }
    await nothingIsLeft();
  });

  test("a directory of 100,000 entries is extracted in bounded time", async () => {
    const entries = Array.from({ length: 100_000 }, (_, i) => file(`d/${i}`));
    const image = await pushImage(registry, "wide", [[...shell(), ...entries]]);
    const start = performance.now();
    expect((await host.podWith({ timeoutSeconds: 60 }, "pull", "-q", image)).code).toBe(0);
    expect(performance.now() - start).toBeLessThan(60_000);
    await host.podWith({ timeoutSeconds: 60 }, "rmi", image);
  }, 120_000);
});

describe("a bad host", () => {
  const host = new Host();
  beforeAll(() => host.open());
  afterAll(() => host.close(), 60_000);

  /** A directory of programs for PATH that lacks some and replaces others. */
  function programs(replaced: Record<string, string>): string {
    const directory = mkdtempSync(join(host.work, "bin"));
    for (const name of ["sh", "fuse-overlayfs", "slirp4netns", "newuidmap", "newgidmap"]) {
      if (name in replaced) continue;
      symlinkSync(Bun.which(name)!, join(directory, name));
    }
    for (const [name, script] of Object.entries(replaced)) {
      if (script) writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    return directory;
  }
  const store = () => mkdtempSync(join(host.work, "d"));

  for (const driver of ["overlay", "fuse-overlayfs"]) {
    test(`without newuidmap one id is mapped, which is said once, on ${driver}`, async () => {
      const env = { PATH: programs({ newuidmap: "", newgidmap: "" }), XDG_DATA_HOME: store(), STORAGE_DRIVER: driver };
      const first = await host.podWith({ env }, ...run, "starter", "id", "-u");
      expect(first).toMatchObject({ code: 0, stdout: "0\n" });
      expect(first.stderr).toContain("newuidmap and newgidmap are not installed");
      const second = await host.podWith({ env }, ...run, "starter", "sh", "-c", "echo x > /etc/new && cat /etc/new");
      expect(second).toMatchObject({ code: 0, stdout: "x\n", stderr: "" });
      const other = await host.podWith({ env }, ...run, "-u", "1000", "starter", "true");
      expect(other.code).toBe(125);
      rmSync(env.XDG_DATA_HOME, { recursive: true, force: true });
    });
  }

  test("newuidmap that has no privileges for once is tried again", async () => {
    const once = join(host.work, "once");
    const newuidmap = `mkdir ${once} 2>/dev/null && exit 1; exec ${Bun.which("newuidmap")} "$@"`;
    const env = { PATH: `${programs({ newuidmap })}:${process.env.PATH}`, XDG_DATA_HOME: store() };
    expect(await host.podWith({ env }, "unshare", "id", "-u")).toMatchObject({ code: 0, stdout: "0\n", stderr: "" });
    expect(readdirSync(once)).toEqual([]); // it was asked twice
    rmSync(env.XDG_DATA_HOME, { recursive: true, force: true });
  });

  test("AppArmor's rule: EPERM on uid_map gives a hint", async () => {
    const denied = "echo 'newuidmap: write to uid_map failed: Operation not permitted' >&2; exit 1";
    const env = { PATH: programs({ newuidmap: denied }), XDG_DATA_HOME: store() };
    const { code, stderr } = await host.podWith({ env }, ...run, "starter", "true");
    expect(code).toBe(125);
    expect(stderr).toMatch(/map the ids of the user namespace: .*Operation not permitted/);
    expect(stderr).toMatch(/hint: .*(AppArmor|user namespaces)/);
    rmSync(env.XDG_DATA_HOME, { recursive: true, force: true });
  });

  test("missing fuse-overlayfs and missing slirp4netns say how to get them", async () => {
    const env = { PATH: programs({ "fuse-overlayfs": "", slirp4netns: "" }) };
    const fuse = await host.podWith({ env }, ...run, "--storage-driver", "fuse-overlayfs", "starter", "true");
    expectError(
      fuse,
      125,
      /fuse-overlayfs is not installed[\s\S]*hint: install it .*, or use --storage-driver overlay/,
    );
    const mapped = await host.podWith({ env }, ...run, "--userns", "keep-id", "starter", "true");
    expectError(mapped, 125, /fuse-overlayfs is not installed\nhint: install it .*: --userns needs it/);
    const slirp = await host.podWith({ env }, "run", "--rm", "starter", "true");
    expectError(slirp, 125, /slirp4netns is not installed[\s\S]*--network none or --network host/);
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });

  test("a command killed between its word to start and the start leaves a container that runs, as in Docker", async () => {
    const slow = `${Bun.which("sleep")} 1; exec ${Bun.which("slirp4netns")} "$@"`;
    const script = "echo begun; cat; echo end of input; sleep 600";
    const options = ["-i", "--name", "orphan", "starter", "sh", "-c", script];
    const env = { ...host.env, PATH: programs({ slirp4netns: slow }) };
    const command = Bun.spawn([binary, "run", ...options], { env, stdin: "pipe", stdout: "ignore", stderr: "ignore" });
    await Bun.sleep(500);
    expect(await host.must("ps", "-a", "--format", "{{.Names}} {{.State}}")).toBe("orphan created");
    command.kill("SIGKILL");
    await command.exited;
    const log = async () => (await host.pod("logs", "orphan")).stdout;
    for (const end = performance.now() + 10_000; !(await log()).includes("end"); await Bun.sleep(50)) {
      expect(performance.now()).toBeLessThan(end);
    }
    expect(await log()).toBe("begun\nend of input\n");
    expect(await host.must("ps", "--format", "{{.Names}} {{.State}}")).toBe("orphan running");
    await host.must("rm", "-f", "orphan");
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });

  test("slirp4netns that never gets ready is not waited for without end", async () => {
    const env = { PATH: programs({ slirp4netns: `exec ${Bun.which("sleep")} 600` }) };
    const began = performance.now();
    const result = await host.podWith({ env }, "run", "--rm", "starter", "true");
    expectError(
      result,
      125,
      /slirp4netns: it was not ready after 10 seconds\nhint: .*--network none or --network host/,
    );
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });

  test("a missing xz says how to get it", async () => {
    const stdin = Bun.spawnSync(["xz", "-c"], { stdin: Buffer.alloc(10_240) }).stdout;
    const result = await host.podWith({ env: { PATH: programs({}) }, stdin }, "import", "-");
    expectError(result, 1, /compressed by xz, which is not installed\nhint: install it .*apt install xz-utils/);
  });

  test("fuse-overlayfs that dies as soon as it has mounted is told as such, and leaves nothing", async () => {
    const script = `${Bun.which("fuse-overlayfs")} "$@" &
for target; do :; done
until grep -q " $target " /proc/self/mountinfo; do :; done
kill -9 $!
wait`;
    const env = { PATH: programs({ "fuse-overlayfs": script }) };
    const result = await host.podWith({ env }, ...run, "--storage-driver", "fuse-overlayfs", "starter", "sleep", "9");
    expect([125, 137]).toContain(result.code); // before the program ran, or after
    expect(result.stderr).toMatch(/fuse-overlayfs ended|fuse-overlayfs could not mount the root file system/);
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });

  test("a first process that can't go on tells why, also while its root file system is being mounted", async () => {
    const script = 'echo 0 >/proc/sys/user/max_net_namespaces; exec "$0" "$@"';
    const result = await host.pod("unshare", "sh", "-c", script, binary, ...run, "starter", "true");
    expectError(
      result,
      125,
      /make the network namespace: unshare new network namespace: .* \(ENOSPC\)\nhint: .*see sysctl user/,
    );
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });

  test("missing /dev/fuse and /dev/net/tun say so", async () => {
    const without = (...args: string[]) => {
      // An empty /dev with the usual nodes: what a container without these devices shows.
      const script = `set -e; for d in null zero full random urandom tty; do touch $0/$d; mount --bind /dev/$d $0/$d; done; mkdir $0/pts $0/shm; mount --rbind $0 /dev; exec "$@"`;
      const dev = mkdtempSync(join(host.work, "dev"));
      const command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, dev, ...args];
      return command;
    };
    const path = programs({ newuidmap: "", newgidmap: "" });
    const attempt = async (...args: string[]): Promise<Result> => {
      const child = Bun.spawn(without("/usr/bin/env", `PATH=${path}`, binary, ...args), {
        env: { ...host.env, XDG_DATA_HOME: store() },
        cwd: host.work,
        stdout: "pipe",
        stderr: "pipe",
      });
      const [bytes, stderr] = await Promise.all([child.stdout.bytes(), child.stderr.text()]);
      return { code: await child.exited, stdout: Buffer.from(bytes).toString(), stderr, bytes: Buffer.from(bytes) };
    };
    const fuse = await attempt(...run, "--storage-driver", "fuse-overlayfs", "starter", "true");
    expect(fuse.code).toBe(125);
    expect(fuse.stderr).toMatch(/fuse-overlayfs could not mount[\s\S]*hint: .*\/dev\/fuse/);
    const tun = await attempt("run", "--rm", "starter", "true");
    expect(tun.code).toBe(125);
    expect(tun.stderr).toMatch(/slirp4netns: [\s\S]*hint: .*(\/dev\/net\/tun|--network none)/);
  });

  test("no space left: said so, and nothing of the layer stays", async () => {
    const path = programs({ newuidmap: "", newgidmap: "" });
    const data = store();
    const image = await pushImage(registry, "bomb", [[...shell(), file("zeros", "0".repeat(8_000_000))]]);
    const script = `mount -t tmpfs -o size=5m,mode=700 small ${data} && PATH=${path} "$0" pull ${image}; code=$?; PATH=/usr/bin:/bin; cd ${data}/pod; find layers tmp -mindepth 1 | wc -l; exit $code`;
    const child = Bun.spawn(["unshare", "--map-root-user", "--mount", "/bin/sh", "-c", script, binary], {
      env: { ...host.env, XDG_DATA_HOME: data },
      cwd: host.work,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect(stderr).toMatch(/no space left on device \(ENOSPC\)/);
    expect(stdout.trim().split("\n").at(-1)).toBe("0");
    expect(await child.exited).toBe(1);
  });

  test("a home that can't be written, and a store of somebody else, are refused with a hint", async () => {
    const closed = join(host.work, "closed");
    mkdirSync(closed, { mode: 0o500 });
    const readOnly = await host.podWith({ env: { XDG_DATA_HOME: "", HOME: closed } }, ...run, "starter", "true");
    expectError(readOnly, 125, /permission denied[\s\S]*hint: set XDG_DATA_HOME/);
    for (const home of ["", "relative", "/"]) {
      const homeless = await host.podWith({ env: { XDG_DATA_HOME: "", HOME: home } }, ...run, "starter", "true");
      expectError(homeless, 125, /mkdir \/\.local: permission denied[\s\S]*hint: set XDG_DATA_HOME/);
    }
    expect(existsSync(join(host.work, "relative"))).toBe(false);
    const data = store();
    mkdirSync(join(data, "pod"));
    const give = Bun.spawnSync(["unshare", "--map-root-user", "--map-auto", "chown", "5:5", join(data, "pod")]);
    expect(give.exitCode).toBe(0);
    for (const args of [["ps"], [...run, "starter", "true"]]) {
      const { code, stderr } = await host.podWith({ env: { XDG_DATA_HOME: data } }, ...args);
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/another user|permission denied/);
      expect(stderr).toMatch(/hint: set XDG_DATA_HOME/);
    }
    chmodSync(closed, 0o700);
  });

  test("sixteen first runs on a fresh store", async () => {
    const env = { XDG_DATA_HOME: store() };
    const results = await Promise.all(
      Array.from({ length: 16 }, (_, i) => host.podWith({ env }, ...run, "starter", "echo", String(i))),
    );
    expect(results.map(({ code, stdout }) => ({ code, stdout }))).toEqual(
      results.map((_, i) => ({ code: 0, stdout: `${i}\n` })),
    );
    expect((await host.podWith({ env }, "system", "reset", "-f")).code).toBe(0);
    rmSync(env.XDG_DATA_HOME, { recursive: true, force: true });
  });
});

/** The header of an ELF program for aarch64 (elf(5): e_machine 183). */
function armProgram(): string {
  const header = Buffer.alloc(120);
  header.write("\x7fELF\x02\x01\x01", 0, "latin1");
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(183, 18);
  return header.toString("latin1");
}
