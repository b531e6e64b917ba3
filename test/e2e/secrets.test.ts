import { expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onBothDrivers } from "./harness.ts";

onBothDrivers("secrets", (host) => {
  const create = (stdin: string, ...args: string[]) => host.podWith({ stdin }, "secret", "create", ...args);

  test("create, ls, inspect, exists and rm; the file is the caller's alone", async () => {
    const { stdout } = await create("hush", "--label", "a=b", "pw", "-");
    expect(stdout).toMatch(/^[0-9a-f]{25}\n$/);
    const id = stdout.trim();
    const path = join(host.dataDir, "secrets/pw.json");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await host.must("secret", "ls", "--format", "{{.ID}} {{.Name}} {{.Driver}}")).toBe(`${id} pw file`);
    expect(await host.must("secret", "ls", "-q", "-f", "name=other")).toBe("");
    const [object] = JSON.parse(await host.must("secret", "inspect", id.slice(0, 6)));
    expect(object).toMatchObject({ ID: id, Spec: { Name: "pw", Driver: { Name: "file" }, Labels: { a: "b" } } });
    expect(object.SecretData).toBeUndefined();
    expect(await host.must("secret", "inspect", "--showsecret", "-f", "{{.SecretData}}", "pw")).toBe("hush");
    expect((await host.pod("secret", "exists", "pw")).code).toBe(0);
    expect(await host.must("secret", "rm", "pw")).toBe(id);
    expect((await host.pod("secret", "exists", "pw")).code).toBe(1);
    expect(readdirSync(join(host.dataDir, "secrets"))).toEqual([]);
  });

  test("a name that is taken, bad or missing is an error; --replace replaces", async () => {
    await create("one", "pw", "-");
    expect(await create("two", "pw", "-")).toMatchObject({
      code: 1,
      stderr: "pod: creating secret pw: secret name in use\n",
    });
    expect((await create("two", "--replace", "pw", "-")).code).toBe(0);
    expect((await create("x", "../pw", "-")).stderr).toContain('invalid secret name "../pw"');
    expect((await create("", "empty", "-")).stderr).toContain(
      "secret data must be larger than 0 and less than 512000 bytes",
    );
    expect((await create("x".repeat(512_000), "large", "-")).code).toBe(1);
    expect((await host.pod("secret", "rm", "nosuch")).stderr).toBe(
      'pod: no secret with name or id "nosuch": no such secret\n',
    );
    expect((await host.pod("secret", "create", "pw2", "nosuch")).stderr).toContain("no such file or directory");
    expect((await host.podWith({ env: { WORD: "env" } }, "secret", "create", "--env", "env", "WORD")).code).toBe(0);
    expect(await host.shOutput("cat /run/secrets/pw /run/secrets/env", "--secret", "pw", "--secret", "env")).toBe(
      "twoenv",
    );
    await host.must("secret", "rm", "--all");
  });

  test("a container sees it as a file in memory, with the owner and mode that are asked for", async () => {
    writeFileSync(join(host.work, "key"), Buffer.from([0, 255, 10, 128]));
    await host.must("secret", "create", "key", "key");
    const script = `od -An -tx1 /run/secrets/key; stat -c '%a %u %g' /run/secrets/key /etc/my/key /run/secrets/other
      echo x > /run/secrets/key; grep -c '^tmpfs /run/secrets/key ' /proc/mounts`;
    const options = [
      "--secret",
      "key",
      "--secret",
      "key,target=/etc/my/key,uid=7,gid=8,mode=0400",
      "--secret",
      "id=key,target=other",
    ];
    const { stdout, stderr } = await host.sh(script, ...options);
    expect(stdout.replace(/ +/g, " ")).toBe(" 00 ff 0a 80\n444 0 0\n400 7 8\n444 0 0\n1\n");
    expect(stderr).toContain("Read-only file system");
    expect(await host.shOutput("cat /run/secrets/key | wc -c", "--read-only", "-u", "1000", "--secret", "key")).toBe(
      "4",
    );
  });

  test("it is on disk once, in no container's folder, image or archive", async () => {
    await create("needle-in-hay", "needle", "-");
    await host.must("run", "-d", "--network", "none", "--name", "box", "--secret", "needle", "starter", "sleep", "60");
    expect(await host.must("exec", "box", "cat", "/run/secrets/needle")).toBe("needle-in-hay");
    const found = Bun.spawnSync(["grep", "-rl", "needle-in-hay", host.dataDir]).stdout.toString();
    expect(found).toBe("");
    expect(readFileSync(join(host.dataDir, "secrets/needle.json"), "utf8")).toContain(btoa("needle-in-hay"));
    const encoded = Bun.spawnSync(["grep", "-rl", btoa("needle-in-hay"), host.dataDir]).stdout.toString();
    expect(encoded).toBe(`${join(host.dataDir, "secrets/needle.json")}\n`);
    await host.must("export", "-o", "box.tar", "box");
    expect(readFileSync(join(host.work, "box.tar")).includes("needle-in-hay")).toBe(false);
    await host.must("rm", "-f", "box");
  });

  test("a missing one is an error before anything is made, and at a later start", async () => {
    expect(await host.sh("true", "--secret", "nosuch")).toMatchObject({
      code: 125,
      stderr: 'pod: no secret with name or id "nosuch": no such secret\n',
    });
    await create("x", "brief", "-");
    await host.must("create", "--network", "none", "--name", "late", "--secret", "brief", "starter", "true");
    await host.must("secret", "rm", "brief");
    const { code, stderr } = await host.pod("start", "-a", "late");
    expect(code).not.toBe(0);
    expect(stderr).toContain('no secret with name or id "brief": no such secret');
    await host.must("rm", "late");
  });
});
