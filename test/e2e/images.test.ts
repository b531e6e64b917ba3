import { afterAll, beforeAll, expect, test } from "bun:test";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { binary, onBothDrivers, quietRun } from "./harness.ts";
import { architecture, publish, publishAll } from "./images.ts";

const other = architecture === "amd64" ? "arm64" : "amd64";

onBothDrivers("pull, images and rmi", (host) => {
  let registry: TestRegistry;
  let image: string;
  beforeAll(async () => {
    registry = await startRegistry();
    image = await publish(registry, "team/app:1", { layers: [{ "etc/version": "one\n" }] });
  });
  afterAll(() => registry.stop());

  test("--pull never fails without the image, missing brings it, and then never is enough", async () => {
    const never = await host.pod(...quietRun, "--pull", "never", image, "cat", "/etc/version");
    expect(never).toMatchObject({ code: 125, stdout: "", stderr: `pod: No such image: ${image}\n` });
    expect(await host.must(...quietRun, image, "cat", "/etc/version")).toBe("one");
    expect(await host.must(...quietRun, "--pull=never", image, "cat", "/etc/version")).toBe("one");
  });

  test("missing keeps the local image, always brings the registry's newer one", async () => {
    await publish(registry, "team/app:1", { layers: [{ "etc/version": "two\n" }] });
    expect(await host.must(...quietRun, image, "cat", "/etc/version")).toBe("one");
    expect(await host.must(...quietRun, "--pull", "always", image, "cat", "/etc/version")).toBe("two");
    expect(await host.must("images", "--filter", "dangling=true", "-q")).not.toBe("");
  });

  test("-q mutes the pull on both streams", async () => {
    await host.must("rmi", image);
    expect(await host.pod(...quietRun, image, "true")).toMatchObject({ code: 0, stdout: "", stderr: "" });
  });

  test("images lists in Docker's columns, -q ids, and one repository when asked", async () => {
    const [head, ...rows] = (await host.must("images")).split("\n");
    expect(head).toMatch(/^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE$/);
    const own = rows.find((row) => /^\S+\/team\/app +1 /.test(row));
    expect(own).toMatch(/^\S+ {3,}1 {3,}[0-9a-f]{12} {3}.* ago {3,}[\d.]+[kM]B$/);
    expect(await host.must("images", "-q", image)).toMatch(/^[0-9a-f]{12}$/);
    expect(await host.must("images", "-q", "nosuch")).toBe("");
  });

  test("pull prints Docker's lines and the full name; again it says that all is there", async () => {
    await host.must("rmi", image);
    const first = (await host.must("pull", image)).split("\n");
    expect(first[0]).toBe("1: Pulling from team/app");
    expect(first.at(-2)).toBe(`Status: Downloaded newer image for ${image}`);
    expect(first.at(-1)).toBe(image);
    expect((await host.must("pull", image)).split("\n").at(-2)).toBe(`Status: Image is up to date for ${image}`);
    expect(await host.must("pull", "-q", image)).toBe(image);
  });

  test("pull -a brings every tag, with Docker's lines", async () => {
    for (const tag of ["one", "two"]) await publish(registry, `team/tags:${tag}`, { layers: [{ "etc/tag": tag }] });
    const lines = (await host.must("pull", "--all-tags", `${registry.host}/team/tags`)).split("\n");
    expect(lines.filter((line) => line.includes(": Pulling from")).toSorted()).toEqual([
      "one: Pulling from team/tags",
      "two: Pulling from team/tags",
    ]);
    expect(lines.filter((line) => line.startsWith("Digest: sha256:"))).toHaveLength(2);
    expect(lines.slice(-2)).toEqual([
      `Status: Downloaded newer image for ${registry.host}/team/tags`,
      `${registry.host}/team/tags`,
    ]);
    expect((await host.must("images", "-q", `${registry.host}/team/tags`)).split("\n")).toHaveLength(2);
    expect((await host.pod("pull", "-a", `${registry.host}/team/tags:one`)).stderr).toStartWith(
      "pod: tag can't be used with --all-tags/-a\n",
    );
    await host.must("rmi", ...["one", "two"].map((tag) => `${registry.host}/team/tags:${tag}`));
  });

  test("rmi refuses an image in use, by name and container, and with -f frees its name", async () => {
    const id = await host.must("run", "-d", "--network", "none", image, "true");
    for (let i = 0; i < 100 && (await host.must("ps", "-q")); i++) await Bun.sleep(50);
    const { code, stdout, stderr } = await host.pod("rmi", image);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toStartWith(
      `pod: conflict: unable to delete ${image} (must be forced) - image is being used by stopped container ${id.slice(0, 12)}\n`,
    );
    await host.must("rm", id);
    expect(await host.must("rmi", image)).toContain(`Untagged: ${image}\n`);
    const gone = await host.pod("rmi", image);
    expect(gone).toMatchObject({ code: 1, stderr: `pod: No such image: ${image}\n` });
  });

  test("an image can be run by its id, its id's beginning and its digest", async () => {
    await host.must("pull", "-q", image);
    const id = await host.must("inspect", "-f", "{{.Id}}", image);
    const [digest] = JSON.parse(await host.must("inspect", image))[0].RepoDigests;
    for (const name of [id, id.slice(7, 19), digest]) {
      expect(await host.must(...quietRun, name, "cat", "/etc/version")).toBe("two");
    }
  });

  test("--platform chooses from an index; one that it lacks is an error with those it has", async () => {
    await publishAll(registry, "several", [
      { layers: [{ "etc/arch": "own\n" }] },
      { layers: [{ "etc/arch": "other\n" }], platform: { os: "linux", architecture: other } },
    ]);
    const several = `${registry.host}/several`;
    expect(await host.must(...quietRun, several, "cat", "/etc/arch")).toBe("own");
    // Both are made of this machine's busybox, so the other runs as well.
    expect(await host.must(...quietRun, "--platform", `linux/${other}`, several, "cat", "/etc/arch")).toBe("other");
    const lacking = await host.pod(...quietRun, "--platform", "linux/riscv64", several, "true");
    expect(lacking.code).toBe(125);
    expect(lacking.stderr).toContain("no matching manifest for linux/riscv64 in the manifest list entries");
    expect(lacking.stderr).toContain("hint: it is there for linux/");
    const invalid = await host.pod(...quietRun, "--platform", "a/b/c/d", several, "true");
    expect(invalid.code).toBe(125);
    expect(invalid.stderr).toContain('invalid platform "a/b/c/d"');
  });

  test("the starter is refused for another architecture", async () => {
    const { code, stderr } = await host.pod(...quietRun, "--platform", `linux/${other}`, "starter", "true");
    expect(code).toBe(125);
    expect(stderr).toContain(`does not match the specified platform (linux/${other})`);
  });

  test("an image pulled under a strict umask is open to its users", async () => {
    await host.pod("rmi", "-f", image);
    const shell = ["sh", "-c", 'umask 077; exec "$@"', "sh", binary, "pull", "-q", image];
    expect(await Bun.spawn(shell, { cwd: host.work, env: host.env, stdout: "ignore" }).exited).toBe(0);
    const script = "cat /etc/version; stat -c %a / /etc /bin /tmp";
    expect(await host.must(...quietRun, "-u", "1000", image, "sh", "-c", script)).toBe("two\n755\n755\n755\n1777");
  });

  test("no container is made of an image that can't be had", async () => {
    expect((await host.pod("run", "--name", "none", `${registry.host}/nosuch`)).code).toBe(125);
    expect(await host.must("ps", "-aq")).toBe("");
  });
});
