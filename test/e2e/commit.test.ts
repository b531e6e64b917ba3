/** diff, commit, export and import: a container's files leave it with all that belongs to them. */

import { beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TarEntry, tarReader } from "../../src/storage/tar.ts";
import { file, folder, symlink, tar } from "../storage/archive.ts";
import { shell } from "./crafted.ts";
import { onAllDrivers, quietRun } from "./harness.ts";
import { run } from "./tools.ts";

/** Of a file: CAP_NET_BIND_SERVICE permitted (struct vfs_cap_data, version 2). */
const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
const rootfs = tar(
  ...shell(),
  symlink("bin/busybox-x", "busybox"),
  folder("etc"),
  file("etc/keep", "keep"),
  file("etc/gone", "gone"),
  file("etc/changed", "old"),
  folder("opt"),
  folder("opt/replaced"),
  file("opt/replaced/old", "old"),
  folder("opt/removed"),
  file("opt/removed/in", "x"),
  file("opt/becomes-folder", "x"),
  file("opt/capable", "x", {
    mode: 0o755,
    pax: {
      mtime: "1700000000.123456789",
      "SCHILY.xattr.security.capability": capability,
      "SCHILY.xattr.user.note": "kept",
    },
  }),
);

const script = `
  b=/bin/busybox
  $b rm /etc/gone; echo new >/etc/changed; $b cat /etc/keep >/dev/null
  $b rm -r /opt/replaced; $b mkdir /opt/replaced; echo 1 >/opt/replaced/new
  $b rm -r /opt/removed; $b rm /opt/becomes-folder; $b mkdir /opt/becomes-folder; echo 2 >/opt/becomes-folder/f
  $b mkdir -p /new/deep; echo 3 >/new/deep/file; $b ln /new/deep/file /new/hard; $b ln -s deep/file /new/sym
  $b mkfifo /new/fifo; echo s >/new/setuid; $b chown 33:44 /new/setuid; $b chmod 6755 /new/setuid
  $b mv /opt/capable /opt/moved
  $b touch -d '2001-02-03 04:05:06' /new/setuid; $b chmod 1777 /new
`;
const changes = [
  "C /etc",
  "C /etc/changed",
  "D /etc/gone",
  "A /new",
  "A /new/deep",
  "A /new/deep/file",
  "A /new/fifo",
  "A /new/hard",
  "A /new/setuid",
  "A /new/sym",
  "C /opt",
  "C /opt/becomes-folder",
  "A /opt/becomes-folder/f",
  "D /opt/capable",
  "A /opt/moved",
  "D /opt/removed",
  "C /opt/replaced",
  "A /opt/replaced/new",
  "D /opt/replaced/old",
];
/** All that stat tells of the changed files, and what is there. */
const look = `
  b=/bin/busybox; cd /
  for f in etc/keep etc/changed etc/gone opt/* opt/*/* new new/* new/deep/*; do $b stat -c '%n %F %a %u:%g %s %Y' $f; done
  $b stat -c '%n %h' new/hard new/setuid
  $b cat etc/changed new/hard; $b readlink new/sym
`;

onAllDrivers("commit", (host) => {
  const at = (name: string) => join(host.work, name);
  const inspect = async (name: string) => JSON.parse(await host.must("image", "inspect", name))[0];
  const lookInto = (image: string) => host.must(...quietRun, image, "sh", "-c", look);
  beforeAll(async () => {
    writeFileSync(at("rootfs.tar"), rootfs);
    await host.must("import", "-c", 'CMD ["sh"]', "-c", "ENV A=1", at("rootfs.tar"), "base");
    await host.must(
      "run",
      "--name",
      "worker",
      "--network",
      "none",
      "-e",
      "B=2",
      "-l",
      "l=1",
      "base",
      "sh",
      "-c",
      script,
    );
  });

  test("diff tells what was added, changed and deleted, and not what pod mounts", async () => {
    expect((await host.must("diff", "worker")).split("\n")).toEqual(changes);
    await host.must("run", "--name", "idle", "--network", "none", "base", "true").catch(() => {});
    expect(await host.must("diff", "idle")).toBe("");
    expect(await host.pod("diff", "nosuch")).toMatchObject({ code: 1, stderr: "pod: No such container: nosuch\n" });
  });

  test("an image of a container has its files with all attributes, and its settings", async () => {
    const id = await host.must("commit", "-m", "why", "-a", "me", "-c", "WORKDIR /opt", "worker", "made:1");
    const made = await inspect("made:1");
    expect(made).toMatchObject({ Id: id, RepoTags: ["made:1"], Comment: "why", Author: "me" });
    expect(made.Config).toMatchObject({ Cmd: ["sh", "-c", script], WorkingDir: "/opt", Labels: { l: "1" } });
    expect(made.Config.Env.toSorted()).toEqual(expect.arrayContaining(["A=1", "B=2"]));
    expect(made.Config.Env.join()).not.toMatch(/HOSTNAME|container=/);
    const [last, first] = (await host.must("history", "--format", "{{.ID}} {{.Comment}}", "made:1")).split("\n");
    expect([last, first]).toEqual([`${id.slice(7, 19)} why`, `<missing> Imported from ${at("rootfs.tar")}`]);
    const seen = await lookInto("made:1");
    expect(seen).toContain("new/setuid regular file 6755 33:44 2 981173106\n");
    expect(seen).toContain("new/hard 2\n");
    expect(seen).toContain("new directory 1777 0:0 ");
    expect(seen).toContain("new/fifo fifo");
    expect(seen).not.toMatch(/gone|removed|replaced\/old/);
    expect(seen).toEndWith("new\n3\ndeep/file");
  });

  test("capabilities, other extended attributes and nanoseconds are in the layer", async () => {
    const layer = (await inspect("made:1")).RootFS.Layers.at(-1); // what pod makes is not compressed: the blob is the layer
    const bytes = readFileSync(join(host.dataDir, "blobs", layer.replace(":", "/")));
    const entries: TarEntry[] = [];
    const reader = tarReader({ entry: (entry) => void entries.push(entry), data: () => {}, end: () => {} });
    reader.push(bytes);
    reader.finish();
    expect(entries.find(({ name }) => name === "opt/moved")).toMatchObject({
      mode: 0o755,
      modified: { seconds: 1_700_000_000, nanoseconds: 123_456_789 },
      xattrs: [
        ["security.capability", capability],
        ["user.note", Buffer.from("kept")],
      ],
    });
    expect(entries.map(({ name }) => name)).toContain("etc/.wh.gone");
  });

  test("the same files give the same layer; without a change there is none", async () => {
    await host.must("commit", "worker", "made:2");
    expect((await inspect("made:2")).RootFS).toEqual((await inspect("made:1")).RootFS);
    await host.must("commit", "idle", "made:3");
    expect((await inspect("made:3")).RootFS).toEqual((await inspect("base")).RootFS);
  });

  test.each(["run", "exec"])(
    "a running container stands still meanwhile, what %s has started, and goes on",
    async (way) => {
      const step = (name: string) => `echo $i >/t; /bin/busybox mv /t ${name}`;
      const count = `i=0; while :; do i=$((i+1)); ${step("/count")}; ${step("/count2")}; done`;
      const program = ["sh", "-c", count];
      const first = way === "run" ? program : ["/bin/busybox", "sleep", "600"];
      await host.must("run", "-d", "--name", "busy", "--network", "none", "base", ...first);
      if (way === "exec") await host.must("exec", "-d", "busy", ...program);
      const read = () => host.must("exec", "busy", "/bin/busybox", "cat", "/count");
      while (!(await host.must("diff", "busy")).includes("/count2")) await Bun.sleep(20);
      await host.must("commit", "busy", "busy");
      const files = await host.must(...quietRun, "busy", "cat", "/count", "/count2");
      const [one, two] = files.split("\n").map(Number);
      expect(one! - two!).toBeOneOf([0, 1]);
      const later = await read();
      while ((await read()) === later) await Bun.sleep(20); // fails by the test's time where it was left stopped
      await host.must("rm", "-f", "busy");
    },
  );

  test("a commit that is killed leaves nobody stopped", async () => {
    const count = "i=0; while :; do i=$((i+1)); echo $i; done >/count";
    // the freezer's part is in cgroup.test.ts
    await host.podOutside("run", "-d", "--name", "held", "--network", "none", "base", "sh", "-c", count);
    const pid = (await host.must("inspect", "-f", "{{.State.Pid}}", "held")).trim();
    const isStopped = () => /^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
    let wasStopped = false;
    for (let round = 0; round < 20 && !wasStopped; round++) {
      const commit = host.spawn("commit", "held");
      while (commit.exitCode === null && !isStopped()) await Bun.sleep(1);
      wasStopped = commit.exitCode === null;
      commit.kill("SIGKILL");
      await commit.exited;
    }
    expect(wasStopped).toBe(true);
    while (isStopped()) await Bun.sleep(5);
    await host.must("rm", "-f", "held");
  });

  test("export gives GNU tar the whole tree, and import makes it an image again", async () => {
    await host.must("export", "-o", at("whole.tar"), "worker");
    const names = (await run(["tar", "-tf", "whole.tar"], { cwd: host.work })).split("\n");
    expect(names).toContain("opt/replaced/new");
    expect(names.filter((name) => /gone|removed|replaced\/old|\.wh\./.test(name))).toEqual([]);
    const piped = await host.pod("export", "worker");
    expect(piped.bytes.equals(readFileSync(at("whole.tar")))).toBe(true);
    const plain = readFileSync(at("whole.tar"));
    const seen = await lookInto("made:1");
    for (const [tag, stdin] of [
      ["gzip", Bun.gzipSync(plain)],
      ["zstd", Bun.zstdCompressSync(plain)],
      ["bzip2", Bun.spawnSync(["bzip2", "-c"], { stdin: plain }).stdout],
      ["xz", Bun.spawnSync(["xz", "-c"], { stdin: plain }).stdout],
      ["plain", plain],
    ] as const) {
      const { stdout } = await host.podWith(
        { stdin },
        "import",
        "-c",
        "ENTRYPOINT []",
        "-m",
        "msg",
        "-",
        `whole:${tag}`,
      );
      expect(await inspect(`whole:${tag}`)).toMatchObject({ Id: stdout.trim(), Comment: "msg" });
      expect(await lookInto(`whole:${tag}`)).toBe(seen);
    }
  });

  test("import takes a URL; what is no archive is refused and leaves nothing", async () => {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: ({ url }) => (url.endsWith("/rootfs.tar") ? new Response(rootfs) : new Response("no", { status: 404 })),
    });
    const before = await host.must("images", "-aq");
    const missing = await host.pod("import", `http://127.0.0.1:${server.port}/nosuch`);
    expect(missing.stderr).toContain("the server answers 404 Not Found\n");
    expect((await host.podWith({ stdin: "no tar at all" }, "import", "-")).stderr).toContain(
      "the archive is cut short",
    );
    expect((await host.pod("import", at("nosuch"))).stderr).toContain("no such file or directory (ENOENT)\n");
    expect((await host.pod("import", "-c", "RUN true", at("rootfs.tar"))).stderr).toContain(
      "RUN is not a valid change command\n",
    );
    expect(await host.must("images", "-aq")).toBe(before);
    await host.must("import", `http://127.0.0.1:${server.port}/rootfs.tar`, "by-url");
    await server.stop(true);
    expect(await host.must(...quietRun, "by-url", "cat", "/etc/keep")).toBe("keep");
  });

  test("what can't be committed is said", async () => {
    await host.must("run", "--name", "orphan", "--network", "none", "made:1", "true").catch(() => {});
    await host.must("rmi", "-f", "made:1");
    const { code, stderr } = await host.pod("commit", "orphan");
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^pod: commit orphan: its image sha256:\S+ was removed\nhint: /),
    });
    expect((await host.pod("commit", "worker", "UPPER")).stderr).toContain("must be lowercase");
  });
});
