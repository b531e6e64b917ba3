import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, onBothDrivers, quietRun } from "./harness.ts";

onBothDrivers("mounts", (host) => {
  const at = (name: string) => join(host.work, name);

  test("-v shows a folder of the host, writable, and both sides see each other's files", async () => {
    mkdirSync(at("shared"));
    writeFileSync(at("shared/from-host"), "host\n");
    expect(await host.shOutput("cat /mnt/from-host; echo inside > /mnt/made", "-v", `${at("shared")}:/mnt`)).toBe(
      "host",
    );
    expect(readFileSync(at("shared/made"), "utf8")).toBe("inside\n");
    expect(statSync(at("shared/made")).uid).toBe(process.getuid!());
  });

  test("-v with ro can't be written to, nor can what is mounted below it", async () => {
    mkdirSync(at("readonly"));
    const { code, stderr } = await host.sh("echo x > /mnt/file", "-v", `${at("readonly")}:/mnt:ro`);
    expect(code).not.toBe(0);
    expect(stderr).toContain("Read-only file system");
    const below = await host.sh("mount -o remount,rw /mnt", "-v", `${at("readonly")}:/mnt:ro`);
    expect(below.code).not.toBe(0);
  });

  test("a relative source belongs to the current directory", async () => {
    mkdirSync(at("relative"));
    writeFileSync(at("relative/file"), "here\n");
    expect(await host.shOutput("cat /mnt/file", "-v", "./relative:/mnt")).toBe("here");
  });

  test("a missing source becomes a folder of the caller's, with a note", async () => {
    const { code, stderr } = await host.sh("touch /mnt/x", "-v", `${at("missing/deep")}:/mnt`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: `note: made the missing folder ${at("missing/deep")}\n` });
    expect(statSync(at("missing/deep")).uid).toBe(process.getuid!());
    expect(existsSync(at("missing/deep/x"))).toBe(true);
  });

  test("a file can be mounted over a file, and where there is none", async () => {
    writeFileSync(at("file"), "of the host\n");
    const script = "cat /etc/passwd /new/place/file; ls -ld /new | cut -c1-10";
    const options = ["-v", "./file:/etc/passwd:ro", "-v", "./file:/new/place/file"];
    expect(await host.shOutput(script, ...options)).toBe("of the host\nof the host\ndrwxr-xr-x");
  });

  for (const [source, destination] of [
    ["kind-file", "/tmp"],
    ["kind-folder", "/etc/passwd"],
  ] as const) {
    test(`${source} over ${destination} is an error that says so, with Docker's code`, async () => {
      writeFileSync(at("kind-file"), "");
      mkdirSync(at("kind-folder"), { recursive: true });
      const { code, stderr } = await host.sh("true", "-v", `./${source}:${destination}`);
      expect(code).toBe(127);
      expect(stderr).toContain(`mount ${at(source)} on ${destination}: `);
      expect(stderr).toContain("directory");
    });
  }

  test("mounts within mounts come out right in any order", async () => {
    mkdirSync(at("outer/inner"), { recursive: true });
    mkdirSync(at("other"));
    writeFileSync(at("other/file"), "other\n");
    const options = ["-v", "./other:/mnt/inner", "-v", "./outer:/mnt"];
    expect(await host.shOutput("cat /mnt/inner/file", ...options)).toBe("other");
  });

  test("a source may be a symlink; a destination's symlinks stay in the container", async () => {
    mkdirSync(at("real"));
    writeFileSync(at("real/file"), "real\n");
    symlinkSync(at("real"), at("link"));
    expect(await host.shOutput("cat /mnt/file", "-v", "./link:/mnt")).toBe("real");
  });

  test("--tmpfs is empty, closed for programs unless told, and takes a size and a mode", async () => {
    const script =
      "df -k /t | tail -1 | tr -s ' ' | cut -d' ' -f2; stat -c %a /t /u; grep ' /[tu] ' /proc/mounts | cut -d' ' -f4";
    const output = await host.shOutput(script, "--tmpfs", "/t:size=1m,mode=700", "--tmpfs", "/u:exec");
    expect(output.split("\n").slice(0, 3)).toEqual(["1024", "700", "1777"]);
    const [first, second] = output.split("\n").slice(3) as [string, string];
    expect(first).toStartWith("rw,nosuid,nodev,noexec");
    expect(second).toStartWith("rw,nosuid,nodev,");
    expect(second).not.toContain("noexec");
  });

  test("--shm-size sets the size of /dev/shm, which is 64 MB else", async () => {
    const script = "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2";
    expect(await host.shOutput(script)).toBe("65536");
    expect(await host.shOutput(script, "--shm-size", "1m")).toBe("1024");
  });

  test("--read-only closes the root, not the mounts on it", async () => {
    const script =
      "for f in /x /etc/x /home/x; do touch $f 2>/dev/null && echo $f; done; touch /dev/shm/x /t/x /mnt/x && echo open";
    mkdirSync(at("open"));
    expect(await host.shOutput(script, "--read-only", "--tmpfs", "/t", "-v", "./open:/mnt")).toBe("open");
  });

  test("without --read-only the root is writable, and the next container sees nothing of it", async () => {
    expect(
      await host.shOutput("echo x > /etc/x; cat /etc/x; rm -rf /bin /etc/os-release; test -e /bin || echo gone"),
    ).toBe("x\ngone");
    expect(await host.shOutput("ls /etc/x 2>/dev/null; ls /etc/os-release")).toBe("/etc/os-release");
  });

  test("a caller's umask changes nothing inside", async () => {
    const script =
      "umask; cat /etc/hosts /etc/resolv.conf /etc/hostname > /dev/null && echo readable; ls -ld /a /a/b | cut -c1-10";
    const run = [binary, ...quietRun, "-u", "1000", "-w", "/a/b", "-v", "./umask:/m/n", "starter", "sh", "-c", script];
    const shell = ["sh", "-c", 'umask 077; exec "$@"', "sh", ...run];
    const child = Bun.spawn(shell, { cwd: host.work, env: host.env, stdout: "pipe", stderr: "pipe" });
    expect(await child.stdout.text()).toBe("0022\nreadable\ndrwxr-xr-x\ndrwxr-xr-x\n");
    expect(await child.stderr.text()).toContain("note: made the missing folder");
  });
});
