import { beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeSpec } from "../../src/spec.ts";
import { binary, onBothDrivers, quietRun } from "./harness.ts";

const namespaces = ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup"];
const readNamespaces = `for n in ${namespaces.join(" ")}; do readlink /proc/self/ns/$n; done`;

onBothDrivers("isolation", (host, driver) => {
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));

  const status = async (script = "cat /proc/self/status", ...options: string[]) => {
    const text = await host.shOutput(script, ...options);
    return Object.fromEntries(text.split("\n").map((line) => line.split(":\t") as [string, string]));
  };

  test("all seven namespaces are neither the host's nor another container's", async () => {
    const first = host.shOutput(`${readNamespaces}; sleep 0.5`);
    const [one, two] = (await Promise.all([first, host.shOutput(`${readNamespaces}; sleep 0.5`)])).map((text) =>
      text.split("\n"),
    ) as [string[], string[]];
    const own = namespaces.map((name) => readlinkSync(`/proc/self/ns/${name}`));
    expect(one).toHaveLength(7);
    expect(new Set([...one, ...two, ...own]).size).toBe(21);
  });

  test("the user namespace is nested in the user's, which is not the host's", async () => {
    await host.must("run", "-d", "--name", "nested", "--network", "none", "starter", "sleep", "100"); // a number of one that is gone may come again
    const inside = await host.must("exec", "nested", "readlink", "/proc/self/ns/user");
    const users = await host.must("unshare", "readlink", "/proc/self/ns/user");
    await host.must("rm", "-f", "nested");
    expect(new Set([inside, users, readlinkSync("/proc/self/ns/user")]).size).toBe(3);
  });

  test("root inside is the caller outside, and the other ids are the subordinate ones", async () => {
    const map = (await host.must("unshare", "cat", "/proc/self/uid_map")).trim().split("\n");
    expect(map[0]!.trim().split(/\s+/)).toEqual(["0", String(process.getuid!()), "1"]);
    const nested = (await host.shOutput("cat /proc/self/uid_map")).trim().split("\n");
    for (const line of nested) {
      const [inside, parent] = line.trim().split(/\s+/);
      expect(inside).toBe(parent!);
    }
    const id = await host.must("run", "-d", "--network", "none", "-u", "7", "starter", "sleep", "60");
    const pid = await host.must("inspect", "-f", "{{.State.Pid}}", id);
    const uid = /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1];
    const [, second] = map[1]!.trim().split(/\s+/).map(Number) as [number, number];
    expect(Number(uid)).toBe(second + 6);
    await host.must("rm", "-f", id);
  });

  test("capabilities are Docker's, privileges can be gained by setuid, and no seccomp filter is loaded yet", async () => {
    const fields = await status();
    const { CapPrm, CapEff, CapBnd, CapInh, CapAmb, NoNewPrivs, Seccomp } = fields;
    const [all, none] = ["00000000a80425fb", "0000000000000000"];
    expect({ CapPrm, CapEff, CapBnd, CapInh, CapAmb }).toEqual({
      CapPrm: all,
      CapEff: all,
      CapBnd: all,
      CapInh: none,
      CapAmb: none,
    });
    expect({ NoNewPrivs, Seccomp }).toEqual({ NoNewPrivs: "0", Seccomp: "0" });
  });

  test("a folder above the store brings in nothing of what pod has mounted below it, unmasked", async () => {
    const script = "ls /h/locks; cat /h/locks/proc/keys; grep -c locks /proc/self/mountinfo";
    const { stdout } = await host.pod(...quietRun, "-v", `${host.dataDir}:/h`, "starter", "sh", "-c", script);
    expect(stdout).toEndWith("\n0\n");
    expect(stdout.split("\n")).toContain("names");
    expect(stdout.split("\n")).not.toContain("proc");
  });

  test("the host's supplementary groups are not there", async () => {
    expect(await host.shOutput("id -G")).toBe("0");
    expect((await status()).Groups!.trim()).toBe("");
  });

  test("only descriptors 0, 1 and 2 are open", async () => {
    // A shell lists with its own glob: it opens the folder as one more, which is gone when it prints.
    expect(
      await host.shOutput(
        "cd /proc/$$/fd; for f in 0 1 2 3 4 5 6 7 8 9 10 11 12 20 63; do test ! -L $f || echo $f; done",
      ),
    ).toBe("0\n1\n2");
  });

  test("the caller's open descriptors do not travel in, and are in nobody's way", async () => {
    await host.must("run", "-d", "--name", "open", "--network", "none", "starter", "sleep", "60");
    const script = "for f in 3 4 5 6 7 8 9; do test ! -L /proc/$$/fd/$f || echo $f; done; echo done";
    for (const opened of ["3</etc/passwd", "7</etc/passwd", "3<. 4<. 5<. 6<. 7<. 8<. 9<."]) {
      for (const command of [
        [...quietRun, "starter"],
        ["exec", "open"],
      ]) {
        const shell = ["bash", "-c", `exec ${opened}; exec "$@"`, "-", binary, ...command, "sh", "-c", script];
        const child = Bun.spawn(shell, { env: host.env, cwd: host.work, stdout: "pipe" });
        expect(await child.stdout.text()).toBe("done\n");
      }
    }
    await host.must("rm", "-f", "open");
  });

  test("no signal is blocked, ignored or caught", async () => {
    const { SigBlk, SigIgn, SigCgt } = await status("exec cat /proc/self/status");
    const none = "0000000000000000";
    expect({ SigBlk, SigIgn, SigCgt }).toEqual({ SigBlk: none, SigIgn: none, SigCgt: none });
  });

  test("SIGPIPE ends a program whose reader has gone", async () => {
    expect(await host.shOutput("(yes; echo $? >&2) | head -1")).toBe("y");
    expect((await host.sh("(yes; echo $? >&2) | head -1")).stderr).toContain("141");
  });

  test("open files are limited to 1024 as on the host, and the umask is 022", async () => {
    expect(await host.shOutput("ulimit -n; umask")).toBe("1024\n0022");
  });

  test("PID 1 is the program, alone", async () => {
    expect(await host.shOutput("echo $$; echo /proc/[0-9]*")).toBe("1\n/proc/1");
    expect(await host.must("run", "--rm", "--network", "none", "starter", "readlink", "/proc/self")).toBe("1");
  });

  test("nothing of the program's memory or files shows pod's stages or the host's paths in its arguments", async () => {
    const output = await host.shOutput(
      "tr '\\0' ' ' < /proc/1/cmdline; cat /proc/1/comm; ls -l /proc/1/exe | grep -c busybox",
    );
    expect(output).toContain("sh -c tr");
    expect(output).toEndWith("sh\n1");
  });

  test("masked files are empty, masked folders too", async () => {
    const script = `for f in /proc/interrupts /proc/keys /proc/timer_list /proc/kcore /proc/sched_debug; do
      test ! -e $f || test -z "$(head -c1 $f | tr '\\0' x)" || echo $f is not masked; done
      for d in /proc/acpi /proc/scsi /sys/firmware; do test ! -e $d || test -z "$(ls $d)" || echo $d is not masked; done`;
    expect(await host.shOutput(script)).toBe("");
  });

  test("kernel settings can't be written", async () => {
    const script = `for f in /proc/sys/kernel/domainname /proc/sysrq-trigger /sys/kernel/mm/ksm/run; do
      (echo x > $f) 2>/dev/null && echo wrote $f; done; mount -o remount,rw /proc/sys 2>/dev/null && echo remounted; true`;
    expect(await host.shOutput(script)).toBe("");
  });

  test("no mount of the container is shared with the host, or writable where it should not be", async () => {
    const mounts = (await host.shOutput("cat /proc/self/mountinfo")).split("\n").map((line) => {
      const [before, after] = line.split(" - ") as [string, string];
      const [, , , , target, options, ...optional] = before.split(" ") as string[];
      return { target: target!, options: options!.split(","), optional, type: after.split(" ")[0]! };
    });
    const of = (target: string) => mounts.findLast((mount) => mount.target === target)!;
    expect(mounts.filter(({ optional }) => optional.some((word) => word.startsWith("shared")))).toEqual([]);
    expect(of("/").type).toBe(driver === "overlay" ? "overlay" : "fuse.fuse-overlayfs");
    expect(of("/proc")).toMatchObject({ type: "proc", options: ["rw", "nosuid", "nodev", "noexec", "relatime"] });
    expect(of("/dev")).toMatchObject({ type: "tmpfs", options: ["rw", "nosuid"] });
    expect(of("/dev/pts").type).toBe("devpts");
    expect(of("/dev/mqueue").type).toBe("mqueue");
    expect(of("/dev/shm")).toMatchObject({ type: "tmpfs", options: ["rw", "nosuid", "nodev", "noexec", "relatime"] });
    expect(of("/sys")).toMatchObject({ type: "sysfs", options: ["ro", "nosuid", "nodev", "noexec", "relatime"] });
    for (const path of ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]) {
      if (of(path)) expect(of(path).options).toContain("ro");
    }
  });

  test("/dev has the standard devices and links, and they work", async () => {
    const names = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    expect((await host.shOutput("ls /dev")).replaceAll("\n", " ")).toBe(names);
    const script = `head -c 3 /dev/zero | od -An -tx1 | tr -d ' '; head -c 5 /dev/urandom | wc -c; echo x > /dev/null
      echo x 2>/dev/null > /dev/full || echo full; readlink /dev/ptmx /dev/fd /dev/stdout; mknod /dev/sda b 8 0 2>/dev/null || echo no devices`;
    expect(
      await host.shOutput(
        script.replace("readlink /dev/ptmx /dev/fd /dev/stdout", "for l in ptmx fd stdout; do readlink /dev/$l; done"),
      ),
    ).toBe("000000\n5\nfull\npts/ptmx\n/proc/self/fd\n/proc/self/fd/1\nno devices");
  });

  test("the loopback interface is up with --network none, and there is no other", async () => {
    expect(
      await host.shOutput(
        "ls /sys/class/net; ip -o addr show lo | grep -c 127.0.0.1; ping -c1 -W2 127.0.0.1 | grep -c '1 packets received'",
      ),
    ).toBe("lo\n1\n1");
  });

  test("what needs power over the host is refused", async () => {
    const script = `mount -t tmpfs x /mnt 2>/dev/null && echo mounted; hostname other 2>/dev/null && echo renamed
      ip link set lo down 2>/dev/null && echo downed; chroot / true && echo chroot; nice -n -5 true 2>/dev/null; true`;
    expect(await host.shOutput(script)).toBe("chroot");
  });

  test("a container can't signal or see processes outside of it", async () => {
    const other = await host.must("run", "-d", "--network", "none", "starter", "sleep", "61");
    expect(await host.shOutput("ps | grep -c '[s]leep 61'; true")).toBe("0");
    await host.must("rm", "-f", other);
  });

  test("config.json is an OCI spec, and true", async () => {
    const options = ["-h", "true.example", "-w", "/tmp", "-e", "A=1", "--tmpfs", "/scratch", "--read-only"];
    const script =
      "pwd; hostname; grep CapBnd /proc/self/status; ulimit -n; ulimit -Hn; cat /proc/self/uid_map; cut -d' ' -f5 /proc/self/mountinfo";
    const id = await host.must(
      "run",
      "-d",
      "--network",
      "none",
      ...options,
      "starter",
      "sh",
      "-c",
      `${script}; sleep 60`,
    );
    const spec = JSON.parse(readFileSync(join(host.dataDir, "containers", id, "config.json"), "utf8")) as RuntimeSpec;
    await host.must("logs", id);
    let seen: string[] = [];
    for (let i = 0; i < 50 && !seen.some((line) => line === "/scratch"); i++) {
      seen = (await host.must("logs", id)).split("\n");
      await Bun.sleep(20);
    }
    await host.must("rm", "-f", id);
    expect(spec.ociVersion).toMatch(/^1\./);
    expect(seen.slice(0, 2)).toEqual([spec.process.cwd, spec.hostname!]);
    expect(spec.process.args).toEqual(["sh", "-c", `${script}; sleep 60`]);
    expect(spec.process.env).toContain("A=1");
    const { soft, hard } = spec.process.rlimits[0]!;
    expect(seen.slice(3, 5)).toEqual([String(soft), String(hard)]);
    const maps = spec.linux.uidMappings.map(({ containerID, hostID, size }) => [containerID, hostID, size].join(" "));
    expect(seen.slice(5, 5 + maps.length).map((line) => line.trim().replace(/\s+/g, " "))).toEqual(maps);
    for (const { destination } of spec.mounts) expect(seen).toContain(destination);
    expect(spec.linux.namespaces.map(({ type }) => type).toSorted()).toEqual([
      "cgroup",
      "ipc",
      "mount",
      "network",
      "pid",
      "user",
      "uts",
    ]);
    expect(spec.root.readonly).toBe(true);
  });

  test("the store is the caller's alone", () => {
    expect(readdirSync(host.dataDir)).toContain("containers");
    const { mode, uid } = statSync(host.dataDir);
    expect({ mode: mode & 0o777, uid }).toEqual({ mode: 0o700, uid: process.getuid!() });
  });
});
