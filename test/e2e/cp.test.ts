import { beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { onAllDrivers } from "./harness.ts";

onAllDrivers("cp", (host, driver) => {
  const file = (name: string) => join(host.work, name);
  const run = (name: string, ...command: string[]) =>
    host.must("run", "-d", "--network", "none", "--name", name, "starter", ...command);

  beforeAll(async () => {
    await host.must("pull", "--quiet", "starter");
    await run("running", "sleep", "1000");
    await host.must("run", "--network", "none", "--name", "stopped", "starter", "true");
    mkdirSync(file("dir/sub"), { recursive: true });
    writeFileSync(file("dir/f"), "content", { mode: 0o640 });
    linkSync(file("dir/f"), file("dir/g"));
    symlinkSync("/etc/passwd", file("dir/link"));
    symlinkSync("sub", file("dir/to-sub"));
    writeFileSync(file("one"), "one\n", { mode: 0o754 });
    utimesSync(file("one"), 1e9, 1e9);
  });

  for (const name of ["running", "stopped"]) {
    test(`a tree goes into a ${name} container and comes back: modes, times, hard links, symlinks`, async () => {
      const { stderr } = await host.pod("cp", "dir", `${name}:/tmp/tree`);
      expect(stderr).toBe(`Successfully copied 5.12kB to ${name}:/tmp/tree\n`);
      expect(await host.must("cp", "-q", `${name}:/tmp/tree`, `back-${name}`)).toBe("");
      const back = (path: string) => file(`back-${name}/${path}`);
      expect(readdirSync(back("")).toSorted()).toEqual(["f", "g", "link", "sub", "to-sub"]);
      expect(readFileSync(back("f"), "utf8")).toBe("content");
      expect(statSync(back("f")).mode & 0o7777).toBe(0o640);
      expect(statSync(back("f")).ino).toBe(statSync(back("g")).ino);
      expect(readlinkSync(back("link"))).toBe("/etc/passwd");
      expect(statSync(back("")).mtimeMs).toBe(statSync(file("dir")).mtimeMs);
      expect(statSync(back("f")).uid).toBe(process.getuid!());
      await host.must("cp", "-q", "one", `${name}:/tmp/one`);
      await host.must("cp", "-q", `${name}:/tmp/one`, `one-${name}`);
      expect(statSync(file(`one-${name}`))).toMatchObject({ mtimeMs: 1e12, mode: 0o100754 });
    });

    test(`where things go in a ${name} container is Docker's rule`, async () => {
      const at = (path: string) => `${name}:${path}`;
      const list = async (path: string) => {
        const { bytes } = await host.pod("cp", at(path), "-");
        const tar = Bun.spawnSync(["tar", "-t"], { stdin: bytes });
        return tar.stdout.toString().trim().split("\n");
      };
      await host.must("cp", "-q", "dir", at("/tmp/new"));
      expect(await list("/tmp/new")).toEqual(["new/", "new/f", "new/g", "new/link", "new/sub/", "new/to-sub"]);
      await host.must("cp", "-q", "dir", at("/tmp/new"));
      expect(await list("/tmp/new/dir/sub")).toEqual(["sub/"]);
      await host.must("cp", "-q", "dir/.", at("/tmp/new/sub"));
      expect(await list("/tmp/new/sub/.")).toEqual(["./", "./f", "./g", "./link", "./sub/", "./to-sub"]);
      await host.must("cp", "-q", "one", at("/tmp/new/to-sub"));
      expect(await list("/tmp/new/sub/one")).toEqual(["one"]);
      await host.must("cp", "-q", "one", at("tmp/new/f"));
      expect(await list("/tmp/new/f")).toEqual(["f"]);

      const refusals: [string, string, string][] = [
        ["nope", at("/"), `lstat ${file("nope")}: no such file or directory`],
        ["one", at("/nope/x"), `Could not find the file /nope in container ${name}`],
        [at("/nope"), ".", `Could not find the file /nope in container ${name}`],
        ["one", at("/tmp/nope/"), "no such directory"],
        ["dir", at("/tmp/one-more/x"), `Could not find the file /tmp/one-more in container ${name}`],
        ["dir", at("/tmp/new/f"), "cannot copy directory"],
        ["one/", at("/tmp"), `lstat ${file("one")}: not a directory (ENOTDIR)`],
        [at("/tmp/new"), file("nope/x"), `lstat ${file("nope")}: no such file or directory`],
        ["-", at("/tmp/new/f"), `destination "${name}:/tmp/new/f" must be a directory`],
      ];
      for (const [from, to, text] of refusals) {
        expect(await host.pod("cp", from, to)).toMatchObject({ code: 1, stdout: "", stderr: `pod: ${text}\n` });
      }
    });

    test(`symlinks of a ${name} container lead nowhere but into it`, async () => {
      mkdirSync(file("outside"), { recursive: true });
      writeFileSync(file("outside/secret"), "secret");
      symlinkSync(file("outside"), file("trap"));
      await host.must("cp", "-q", "trap", `${name}:/tmp/trap`);
      rmSync(file("trap"));
      const missing = `Could not find the file`;
      expect((await host.pod("cp", "one", `${name}:/tmp/trap/planted`)).stderr).toContain(missing);
      expect((await host.pod("cp", `${name}:/tmp/trap/secret`, ".")).stderr).toContain(missing);
      expect(readdirSync(file("outside"))).toEqual(["secret"]);
      await host.must("cp", "-q", "-L", `${name}:/tmp/new/link`, "passwd");
      expect(readFileSync(file("passwd"), "utf8")).not.toBe(readFileSync("/etc/passwd", "utf8"));
    });
  }

  test("owners are root's, with -a the source's, and in an archive those that it names", async () => {
    await host.must("cp", "-q", "one", "running:/tmp/plain");
    const archive = Bun.spawnSync(["tar", "-c", "--owner=5", "--group=6", "one"], { cwd: host.work }).stdout;
    expect((await host.podWith({ stdin: archive }, "cp", "-", "running:/tmp")).code).toBe(0);
    await host.must("cp", "-q", "running:/tmp/one", "out");
    expect(statSync(file("out")).uid).toBe(process.getuid!());
    await host.must("cp", "-qa", "running:/tmp/one", "owned");
    expect(statSync(file("owned")).uid).not.toBe(process.getuid!());
    await host.must("cp", "-qa", "owned", "running:/tmp/back");
    const { bytes } = await host.pod("cp", "running:/tmp", "-");
    const listed = Bun.spawnSync(["tar", "-tv", "--numeric-owner"], { stdin: bytes }).stdout.toString();
    expect(listed).toMatch(/ 0\/0 .* tmp\/plain\n/);
    expect(listed).toMatch(/ 5\/6 .* tmp\/one\n/);
    expect(listed).toMatch(/ 5\/6 .* tmp\/back\n/);
  });

  test("holes stay holes, and files of /proc are read to their end", async () => {
    writeFileSync(file("holes"), "x");
    truncateSync(file("holes"), 1 << 24);
    await host.must("cp", "-q", "holes", "running:/tmp/holes");
    await host.must("cp", "-q", "running:/tmp/holes", "holes-back");
    expect(statSync(file("holes-back"))).toMatchObject({ size: 1 << 24 });
    if (driver === "overlay") expect(statSync(file("holes-back")).blocks).toBeLessThan(100); // fuse-overlayfs tells of no holes
    await host.must("cp", "-q", "running:/proc/1/comm", "comm");
    expect(readFileSync(file("comm"), "utf8")).toBe("sleep\n");
  });

  test("a bind mount is where it is also when the container does not run; read-only refuses", async () => {
    mkdirSync(file("bound"));
    const options = ["--network", "none", "--read-only", "-v", `${file("bound")}:/bound`, "--name", "ro"];
    await host.must("run", ...options, "starter", "true");
    await host.must("cp", "-q", "one", "ro:/bound/one");
    expect(readFileSync(file("bound/one"), "utf8")).toBe("one\n");
    expect(await host.pod("cp", "one", "ro:/x")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("container rootfs is marked read-only"),
    });
  });

  test("a container that swaps folders for symlinks meanwhile reads and writes nothing of the host's (CVE-2018-15664)", async () => {
    mkdirSync(file("canary"));
    writeFileSync(file("canary/secret"), "secret");
    const swap = `mkdir -p /w/real; echo inside >/w/real/secret; ln -s ${file("canary")} /w/link
      while :; do mv -T /w/real /w/x; mv -T /w/x /w/real; mv -T /w/link /w/x; mv -T /w/x /w/link; done 2>/dev/null`;
    await run("swapper", "sh", "-c", swap);
    let copied = 0;
    for (let round = 0; round < 12; round++) {
      const into = await host.pod("cp", "-q", "dir", "swapper:/w/x");
      const from = await host.pod("cp", "-q", "swapper:/w/x/.", `got-${round}`);
      copied += Number(into.code === 0) + Number(from.code === 0);
      const got = file(`got-${round}/secret`);
      if (existsSync(got)) expect(readFileSync(got, "utf8")).toBe("inside\n");
    }
    expect(readdirSync(file("canary"))).toEqual(["secret"]);
    expect(copied).toBeGreaterThan(0);
    await host.must("rm", "-f", "swapper");
  });

  test("the ends of the command line are checked in Docker's words", async () => {
    const text = async (...args: string[]) => (await host.pod("cp", ...args)).stderr.split("\n")[0];
    expect(await text("a", "b")).toBe("pod: must specify at least one container source");
    expect(await text("a:/x", "b:/x")).toBe("pod: copying between containers is not supported");
    expect(await text("a:", "b")).toBe("pod: source can not be empty");
    expect(await text("a", "b:")).toBe("pod: destination can not be empty");
    expect(await text("nosuch:/x", ".")).toBe("pod: No such container: nosuch");
    const gz = await host.podWith({ stdin: Bun.gzipSync("x") }, "cp", "-", "running:/tmp");
    expect(gz.stderr).toBe("pod: the archive is compressed\nhint: put `gzip -dc |` in front\n");
    writeFileSync(file("BZh9"), "no archive of bzip2");
    const named = Bun.spawnSync(["tar", "-c", "BZh9"], { cwd: host.work }).stdout;
    expect((await host.podWith({ stdin: named }, "cp", "-", "running:/tmp")).code).toBe(0);
  });
});
