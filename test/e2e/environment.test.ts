import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { onBothDrivers, quietRun } from "./harness.ts";
import { publish } from "./images.ts";

const passwd = `root:x:0:0:root:/root:/bin/sh
ann:x:1000:1001:Ann:/home/ann:/bin/sh
bob:x:1002:1002:Bob::/bin/sh
`;
const group = "root:x:0:ann\nann:x:1001:\nwheel:x:10:ann,bob\naudio:x:29:ann\n";

onBothDrivers("a program's environment and user", (host) => {
  let registry: TestRegistry;
  let users: string;
  let configured: string;

  beforeAll(async () => {
    registry = await startRegistry();
    users = await publish(registry, "users", { layers: [{ "etc/passwd": passwd, "etc/group": group }] });
    const config = {
      Env: ["PATH=/bin", "FROM_IMAGE=image", "BOTH=image"],
      Entrypoint: ["/bin/sh", "-c"],
      Cmd: ["echo from the image; pwd; id -u; echo $FROM_IMAGE"],
      WorkingDir: "/var/new/place",
      User: "ann:wheel",
      Labels: { maker: "image" },
    };
    configured = await publish(registry, "configured", {
      layers: [{ "etc/passwd": passwd, "etc/group": group }],
      config,
    });
    for (const image of ["starter", users, configured]) await host.must("pull", "-q", image);
  });
  afterAll(() => registry.stop());

  const as = (user: string, script: string) =>
    host.pod(...quietRun, ...(user ? ["-u", user] : []), users, "sh", "-c", script);

  test("a program gets Docker's variables and none of the caller's", async () => {
    const { stdout } = await host.podWith(
      { env: { SECRET: "1" } },
      ...quietRun,
      "-h",
      "box",
      "starter",
      "env",
      "-u",
      "_",
    );
    expect(stdout.trim().split("\n").toSorted()).toEqual([
      "HOME=/root",
      "HOSTNAME=box",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "container=pod",
    ]);
  });

  test("-e sets, takes the caller's value where none is given, and leaves out what the caller has not", async () => {
    const options = ["-e", "A=1", "-e", "B", "-e", "C", "-e", "EMPTY=", "-e", "A=2=3"];
    const script = ["sh", "-c", "echo $A $B; env | grep -c ^C=; env | grep -x EMPTY="];
    const { stdout } = await host.podWith({ env: { B: "caller" } }, ...quietRun, ...options, "starter", ...script);
    expect(stdout).toBe("2=3 caller\n0\nEMPTY=\n");
  });

  test("--env-file is read, and -e comes after it", async () => {
    const file = join(host.work, "list.env");
    writeFileSync(file, "# a comment\nA=file\nB=file with spaces\n\nFROM_CALLER\n");
    const script = ["sh", "-c", "echo $A, $B, $FROM_CALLER"];
    const options = ["-e", "A=option", "--env-file", "list.env"];
    const env = { FROM_CALLER: "caller" };
    const { stdout } = await host.podWith({ env }, ...quietRun, ...options, "starter", ...script);
    expect(stdout).toBe("option, file with spaces, caller\n");
  });

  test("values keep newlines, quotes and characters of any script", async () => {
    const value = "a\nb \"c\" 'd' $e `f` ü 漢字";
    expect(await host.shOutput('printf %s "$V"', "-e", `V=${value}`)).toBe(value);
  });

  test("the image's entrypoint, command, user, working directory and variables apply", async () => {
    expect(await host.must(...quietRun, configured)).toBe("from the image\n/var/new/place\n1000\nimage");
  });

  test("a command takes the place of the image's, and -e that of its variables", async () => {
    const options = ["-e", "BOTH=option"];
    expect(await host.must(...quietRun, ...options, configured, "echo $BOTH $FROM_IMAGE; id -g")).toBe(
      "option image\n10",
    );
  });

  test("--entrypoint drops the image's command", async () => {
    expect(await host.must(...quietRun, "--entrypoint", "pwd", configured)).toBe("/var/new/place");
  });

  test("an empty --entrypoint resets it", async () => {
    expect(await host.must(...quietRun, "--entrypoint", "", configured, "echo", "plain")).toBe("plain");
    const { code, stderr } = await host.pod(...quietRun, "--entrypoint=", configured);
    expect(code).toBe(125);
    expect(stderr).toContain("no command specified");
  });

  test("-w sets the working directory, and makes a missing one for root with mode 0755", async () => {
    expect(await host.shOutput("pwd", "-w", "/tmp")).toBe("/tmp");
    expect(await host.shOutput("pwd; stat -c '%a %u' /a /a/b", "-w", "/a/b/../b")).toBe("/a/b\n755 0\n755 0");
  });

  test("-w on a file is an error", async () => {
    const { code, stderr } = await host.sh("pwd", "-w", "/etc/passwd");
    expect(code).toBe(125);
    expect(stderr).toContain("working directory /etc/passwd: ");
  });

  test("a name stands for its user, group, home and further groups", async () => {
    const { stdout } = await as("ann", "id -u; id -g; id -G; echo $HOME");
    expect(stdout).toBe("1000\n1001\n1001 0 10 29\n/home/ann\n");
  });

  test("a known number does too", async () => {
    expect((await as("1000", "id -G; echo $HOME")).stdout).toBe("1001 0 10 29\n/home/ann\n");
  });

  test("with a group there are no further groups", async () => {
    expect((await as("ann:audio", "id -u; id -G")).stdout).toBe("1000\n29\n");
    expect((await as("1000:4711", "id -u; id -G")).stdout).toBe("1000\n4711\n");
    expect((await as(":wheel", "id -u; id -G")).stdout).toBe("0\n10\n");
  });

  test("a number that no file knows is taken as it is, with group 0 and home /", async () => {
    expect((await as("4711", "id -u; id -g; id -G; echo $HOME; pwd")).stdout).toBe("4711\n0\n0\n/\n/\n");
  });

  test("a user without a home has /", async () => {
    expect((await as("bob", "echo $HOME")).stdout).toBe("/\n");
  });

  test("HOME that is given stays", async () => {
    expect(await host.shOutput("echo $HOME", "-e", "HOME=/tmp", "-u", "nobody")).toBe("/tmp");
  });

  test("an unknown user's or group's name is an error", async () => {
    const user = await as("carl", "true");
    expect(user.code).toBe(125);
    expect(user.stderr).toContain("unable to find user carl: no matching entries in passwd file");
    const unknownGroup = await as("ann:staff", "true");
    expect(unknownGroup.code).toBe(125);
    expect(unknownGroup.stderr).toContain("unable to find group staff: no matching entries in group file");
  });

  test("an id beyond the mapped ones is an error that says so", async () => {
    const { code, stderr } = await as("2000000", "true");
    expect(code).toBe(125);
    expect(stderr).toContain("2000000");
  });

  test("a user other than root has no capabilities, and root's files are closed to it", async () => {
    const { stdout, stderr } = await as("ann", "grep CapEff /proc/self/status; touch /etc/x; ls /root");
    expect(stdout).toBe("CapEff:\t0000000000000000\n");
    expect(stderr).toContain("touch: /etc/x: Permission denied");
  });
});
