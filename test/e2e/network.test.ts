import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { onBothDrivers, requires } from "./harness.ts";

/** An address of this host that is not loopback; undefined where it has none. */
const ownAddress = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

onBothDrivers("the network", (host) => {
  const server = Bun.serve({ hostname: "0.0.0.0", port: 0, fetch: () => new Response("hello from the host\n") });
  beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));
  afterAll(() => server.stop(true));

  const run = (network: string[], script: string) => host.pod("run", "--rm", ...network, "starter", "sh", "-c", script);
  const own = ["--network", "slirp4netns"];
  /** By hand: a static busybox's wget needs libraries to look up names. */
  const fetch = (address: string) =>
    `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 ${address} ${server.port} | tail -n 1`;
  const withTun = requires("/dev/net/tun");

  withTun.test("slirp4netns has its addresses, route and resolver", async () => {
    const script = "ip -o -4 addr show tap0; ip route; cat /etc/resolv.conf; tail -1 /etc/hosts; hostname";
    const { code, stdout } = await run(own, script);
    expect(code).toBe(0);
    expect(stdout).toContain("inet 10.0.2.100/24");
    expect(stdout).toContain("default via 10.0.2.2 dev tap0");
    expect(stdout).toContain("\nnameserver 10.0.2.3\n");
    expect(stdout).toMatch(/\n10\.0\.2\.100\t([0-9a-f]{12}) \w+\n\1\n$/);
  });

  if (ownAddress) {
    withTun.test("slirp4netns reaches a server outside", async () => {
      expect(await run(own, fetch(ownAddress))).toMatchObject({ code: 0, stdout: "hello from the host\n" });
    });
  }

  withTun.test("the host's loopback is out of reach unless asked for", async () => {
    expect((await run(own, fetch("10.0.2.2"))).stdout).toBe("");
    const asked = await run(["--network", "slirp4netns:allow_host_loopback=true"], fetch("10.0.2.2"));
    expect(asked).toMatchObject({ code: 0, stdout: "hello from the host\n" });
  });

  withTun.test("a container's own loopback is not the host's", async () => {
    expect((await run(own, fetch("127.0.0.1"))).stdout).toBe("");
  });

  withTun.test("any user may ping and listen on a low port", async () => {
    const script =
      "cat /proc/sys/net/ipv4/ping_group_range; (echo served | nc -l -p 80 &); sleep 0.3; nc 127.0.0.1 80 < /dev/null";
    expect((await run([...own, "-u", "1000"], script)).stdout).toMatch(/^0\t\d{2,}\nserved\n$/);
  });

  withTun.test("slirp4netns runs with its sandbox and seccomp, and ends with the container", async () => {
    const id = await host.must("run", "-d", ...own, "starter", "sleep", "60");
    const pid = Number(await host.must("inspect", "-f", "{{.State.Pid}}", id));
    const monitor = /^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1];
    const children = readFileSync(`/proc/${monitor}/task/${monitor}/children`, "utf8").trim().split(" ");
    const slirp = children.find((child) => readFileSync(`/proc/${child}/comm`, "utf8") === "slirp4netns\n")!;
    const status = readFileSync(`/proc/${slirp}/status`, "utf8");
    expect(/^Seccomp:\t(\d)/m.exec(status)![1]).toBe("2");
    await host.must("rm", "-f", id);
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });

  for (const [kind, ...network] of [["of its own", ...own], ["of a network"]]) {
    withTun.test(`slirp4netns ${kind} that hangs does not keep a container from ending`, async () => {
      const id = await host.must("run", "-d", ...network, "starter", "sleep", "600");
      const { monitor } = JSON.parse(readFileSync(join(host.dataDir, "containers", id, "state.json"), "utf8"));
      const children = readFileSync(`/proc/${monitor.pid}/task/${monitor.pid}/children`, "utf8").trim().split(" ");
      const slirp = children.find((child) => readFileSync(`/proc/${child}/comm`, "utf8") === "slirp4netns\n");
      process.kill(Number(slirp), "SIGSTOP");
      await host.must("rm", "-f", id);
      expect(await host.leftoversWithoutImages()).toEqual([]);
    });
  }

  test("host is the host's own, with its name, and /sys can't be written", async () => {
    const script = `ls /sys/class/net; hostname; ${fetch("127.0.0.1")}; touch /sys/x 2>/dev/null || echo closed`;
    const { code, stdout } = await run(["--network", "host"], script);
    expect(code).toBe(0);
    const interfaces = readFileSync("/proc/net/dev", "utf8")
      .match(/^ *\S+(?=:)/gm)!
      .map((name) => name.trim());
    const hostname = readFileSync("/proc/sys/kernel/hostname", "utf8").trim();
    const words = stdout.trim().split("\n");
    expect(words.slice(0, interfaces.length).toSorted()).toEqual(interfaces.toSorted());
    expect(words.slice(interfaces.length)).toEqual([hostname, "hello from the host", "closed"]);
  });

  test("host's configuration is out of reach for root in a container", async () => {
    const script =
      "ip link set lo down 2>/dev/null && echo downed; ip addr add 10.9.9.9/32 dev lo 2>/dev/null && echo added; true";
    expect((await run(["--network", "host"], script)).stdout).toBe("");
  });

  test("none has no way out, and the host's resolver file", async () => {
    const { stdout } = await run(["--network", "none"], "ip route; cat /etc/resolv.conf");
    expect(stdout).toBe(readFileSync("/etc/resolv.conf", "utf8"));
    expect((await run(["--network=none"], fetch(ownAddress ?? "192.0.2.1"))).stdout).toBe("");
  });

  test("--net is another word for it", async () => {
    expect((await run(["--net", "none"], "ls /sys/class/net")).stdout).toBe("lo\n");
  });

  test("without slirp4netns the error says how to get it, and what works without", async () => {
    const bin = join(host.work, "bin");
    mkdirSync(bin);
    for (const name of ["sh", "newuidmap", "newgidmap", "fuse-overlayfs"]) {
      const path = Bun.which(name, { PATH: "/usr/bin:/bin:/usr/sbin:/sbin" });
      if (path) symlinkSync(path, join(bin, name));
    }
    const env = { PATH: bin };
    const failed = await host.podWith({ env }, "run", "--name", "unconnected", "starter", "true");
    expect({ code: failed.code, stdout: failed.stdout }).toEqual({ code: 125, stdout: "" });
    expect(failed.stderr).toStartWith("pod: slirp4netns is not installed\nhint: ");
    expect(failed.stderr).toContain("apt install slirp4netns");
    expect(failed.stderr).toContain("--network none or --network host");
    await host.must("rm", "unconnected");
    expect((await host.podWith({ env }, "run", "--rm", "--network", "none", "starter", "echo", "ok")).stdout).toBe(
      "ok\n",
    );
  });
});
