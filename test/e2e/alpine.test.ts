import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { writeLayout } from "../layout.ts";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { onBothDrivers } from "./harness.ts";
import { architecture, busyboxLayer } from "./images.ts";

/** Alpine's own root file system where the folder with it lies beside this tree or is named, else busybox. */
function alpineLayer(): { layer: Uint8Array; isReal: boolean } {
  const directory = process.env.POD_TEST_IMAGES ?? join(import.meta.dir, "../../../shared/images");
  const machine = architecture === "arm64" ? "aarch64" : "x86_64";
  const file = join(directory, `alpine-minirootfs-3.20.3-${machine}.tar.gz`);
  if (!existsSync(file)) return { layer: busyboxLayer(), isReal: false };
  return { layer: Bun.gunzipSync(readFileSync(file)), isReal: true };
}

const { layer, isReal } = alpineLayer();

onBothDrivers(`pod run alpine, ${isReal ? "the real one" : "made of busybox"}, from a mirror of docker.io`, (host) => {
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await startRegistry();
    const directory = mkdtempSync(join(tmpdir(), "alpine-"));
    const config = { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], Cmd: ["/bin/sh"] };
    writeLayout(directory, [{ layers: [layer], platform: { os: "linux", architecture }, config }]);
    await registry.push(directory, "library/alpine:latest");
    rmSync(directory, { recursive: true });
  });
  afterAll(() => registry.stop());

  const configure = (path: string, text: string) => {
    const file = join(host.home, ".config", path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  };
  const forget = async () => {
    rmSync(join(host.home, ".config"), { recursive: true, force: true });
    await host.pod("rmi", "alpine");
  };

  test("registries.conf: the pull is told on stderr, the program's output is alone on stdout", async () => {
    const mirror = `[[registry.mirror]]\nlocation = "${registry.host}"\ninsecure = true\n`;
    configure("containers/registries.conf", `[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n${mirror}`);
    const { code, stdout, stderr } = await host.pod("run", "alpine", "sh", "-c", "echo hello from $(id -un); exit 3");
    expect({ code, stdout }).toEqual({ code: 3, stdout: "hello from root\n" });
    const lines = stderr.trim().split("\n");
    expect(lines[0]).toBe("Unable to find image 'alpine:latest' locally");
    expect(lines[1]).toBe("latest: Pulling from library/alpine");
    expect(lines.filter((line) => /^[0-9a-f]{12}: Pull complete$/.test(line))).toHaveLength(1);
    expect(lines.at(-2)).toMatch(/^Digest: sha256:[0-9a-f]{64}$/);
    expect(lines.at(-1)).toBe("Status: Downloaded newer image for alpine:latest");
    expect(stderr).not.toContain("\x1b");
    await host.must("rm", ...(await host.must("ps", "-aq")).split("\n"));
    await forget();
  });

  test("daemon.json's registry-mirrors does the same", async () => {
    configure("docker/daemon.json", JSON.stringify({ "registry-mirrors": [`http://${registry.host}`] }));
    expect(await host.must("run", "--rm", "-q", "alpine", "sh", "-c", "echo again")).toBe("again");
  });

  test("the second run pulls nothing, not even with the registry gone", async () => {
    rmSync(join(host.home, ".config"), { recursive: true, force: true });
    const result = await host.pod("run", "--rm", "alpine", "sh", "-c", "echo local");
    expect(result).toMatchObject({ code: 0, stdout: "local\n", stderr: "" });
  });

  test("-it alpine sh is a shell in it", async () => {
    const session = host.session("run", "-it", "--rm", "alpine", "sh");
    try {
      await session.waitFor(/\/ # /);
      session.type("cat /etc/os-release | head -2; hostname; tty\r");
      await session.waitFor(isReal ? "Alpine Linux" : "starter");
      await session.waitFor("/dev/pts/0");
      session.type("exit 7\r");
      expect(await session.exit()).toBe(7);
    } finally {
      await session.close();
    }
  });

  test("the image's files have their owners, modes and links", async () => {
    const script = "stat -c '%a %u:%g' /tmp /root /etc/passwd /bin/busybox; readlink /bin/sh; ls -ld / | cut -c1-10";
    expect(await host.must("run", "--rm", "--network", "none", "alpine", "sh", "-c", script)).toBe(
      "1777 0:0\n700 0:0\n644 0:0\n755 0:0\n/bin/busybox\ndrwxr-xr-x",
    );
  });

  // Debian's busybox is static, and looks up names with libraries that the image made of it lacks.
  test.skipIf(!isReal)("names are looked up: the container's own, localhost, those of --add-host", async () => {
    const lookUp =
      "for n in box localhost db; do getent hosts $n | tr -s ' ' | cut -d' ' -f1; done; wget -q -O /dev/null -T 2 http://db:1/";
    const { stdout, stderr } = await host.pod(
      "run",
      "--rm",
      "-h",
      "box",
      "--add-host",
      "db:127.0.0.9",
      "alpine",
      "sh",
      "-c",
      lookUp,
    );
    expect(stdout.split("\n").filter(Boolean)).toEqual([
      expect.stringMatching(/^10\.\d+\.\d+\.4$/),
      expect.stringMatching(/^(127\.0\.0\.1|::1)$/),
      "127.0.0.9",
    ]);
    expect(stderr).toContain("can't connect to remote host");
  });

  test("an unknown image or tag is told in Docker's words", async () => {
    configure("docker/daemon.json", JSON.stringify({ "registry-mirrors": [`http://${registry.host}`] }));
    const { code, stdout, stderr } = await host.pod("run", "--rm", `${registry.host}/library/alpine:nosuch`, "true");
    expect({ code, stdout }).toEqual({ code: 125, stdout: "" });
    expect(stderr).toContain(`pod: manifest for ${registry.host}/library/alpine:nosuch not found`);
    const unknown = await host.pod("run", "--rm", `${registry.host}/nosuch`, "true");
    expect(unknown.code).toBe(125);
    expect(unknown.stderr).toContain("not found");
    expect((await host.pod("run", "--rm", "Alpine", "true")).stderr).toContain(
      "invalid reference format: repository name (library/Alpine) must be lowercase",
    );
    await forget();
  });

  test("with no registry in reach the error names the host, the starter and the mirror setting", async () => {
    const { code, stderr } = await host.pod("run", "--rm", "127.0.0.1:1/library/none", "true");
    expect(code).toBe(125);
    expect(stderr).toContain("registry 127.0.0.1:1 can't be reached");
    expect(stderr).toContain("pod run starter sh");
  });
});
