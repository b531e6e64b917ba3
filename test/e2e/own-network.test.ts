/** A network of the container's own: slirp4netns with its options, and pasta. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { Host, requires } from "./harness.ts";
import { get, Outside, outside4, outside6 } from "./outside.ts";

setDefaultTimeout(60_000);

requires("/dev/net/tun").describe("a network of the container's own", () => {
  const host = new Host();
  let outside: Outside;

  beforeAll(async () => {
    outside = await Outside.open();
    await outside.sh(`ip address add 192.0.2.77/24 dev out0; ip address add 2001:db8::77/64 dev out0 nodad`);
    await outside.echoCallers("[::]", 8080);
    host.open();
    host.launcher = outside.launcher;
    await host.must("pull", "--quiet", "starter");
  });
  afterAll(async () => {
    await host.close();
    await outside.close();
  });

  const run = async (network: string, script: string, ...options: string[]) => {
    const command = ["run", "--rm", "--network", network, ...options, "starter", "sh", "-c", `${get}; ${script}`];
    const { stdout, stderr, code } = await host.pod(...command);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  };
  const both = `get ${outside4} 8080; get ${outside6} 8080`;

  test.each(["slirp4netns", "pasta"])(
    "%s has its addresses, ways and resolver, and leads out by both versions of IP",
    async (mode) => {
      expect(await run(mode, both)).toBe(`${outside4}\n${outside6}\n`);
      const shown = await run(mode, "ip route; ip -6 route; cat /etc/resolv.conf; cat /sys/class/net/tap0/mtu");
      expect(shown).toStartWith("default via 10.0.2.2 dev tap0");
      expect(shown).toContain("\ndefault via fe80::2 dev tap0");
      expect(shown).toContain("\nnameserver 10.0.2.3\n");
      expect(shown).toEndWith("\n65520\n");
      await host.must("run", "-d", "--name", "shown", "--network", mode, "starter", "sleep", "100");
      const format =
        "{{with .NetworkSettings}}{{.IPAddress}} {{.Gateway}} {{.GlobalIPv6Address}} {{.IPv6Gateway}}{{end}}";
      expect(await host.must("inspect", "-f", format, "shown")).toBe("10.0.2.100 10.0.2.2 fd00::100 fe80::2");
      await host.must("rm", "-f", "shown");
    },
  );

  test("slirp4netns takes podman's options", async () => {
    const options = "slirp4netns:cidr=10.9.0.0/24,mtu=1400,outbound_addr=192.0.2.77,outbound_addr6=2001:db8::77";
    const script = `${both}; ip -o -4 address show tap0; cat /sys/class/net/tap0/mtu; grep nameserver /etc/resolv.conf`;
    expect(await run(options, script)).toMatch(
      /^192\.0\.2\.77\n2001:db8::77\n.* inet 10\.9\.0\.100\/24 .*\n1400\nnameserver 10\.9\.0\.3\n$/,
    );
    expect(await run("slirp4netns:enable_ipv6=false", "ip -6 route")).not.toContain("default");
  });

  test("pasta takes some of its own", async () => {
    const options = "pasta:--mtu,1400,--outbound,192.0.2.77,-o,2001:db8::77,--ns-ifname,net0";
    expect(await run(options, `${both}; cat /sys/class/net/net0/mtu`)).toBe("192.0.2.77\n2001:db8::77\n1400\n");
    expect(await run("pasta:--ipv4-only", "ip -6 route; get 192.0.2.1 8080")).not.toContain("default");
  });

  test("pasta takes no ports but those that are published", async () => {
    const script = "echo served >/tmp/index.html; (nc -l -p 8091 &); exec httpd -f -p 80 -h /tmp";
    const options = ["--name", "web", "--network", "pasta", "-p", "8090:80"];
    await host.must("run", "-d", ...options, "starter", "sh", "-c", script);
    expect(await outside.fetch(`http://${outside4}:8090/`)).toBe("served\n");
    expect(await outside.sh("ss -Hltn | grep -c -E ':(80|8091) ' || true")).toBe("0\n");
    await host.must("rm", "-f", "web");
  });

  /** The pid of the container's way out: a child of its monitor. */
  const wayOut = (id: string) => {
    const state = JSON.parse(readFileSync(join(host.dataDir, "containers", id, "state.json"), "utf8"));
    const { pid: monitor } = state.monitor;
    const children = readFileSync(`/proc/${monitor}/task/${monitor}/children`, "utf8").trim().split(" ");
    const pid = Number(children.find((child) => /^(slirp|pas)/.test(readFileSync(`/proc/${child}/comm`, "utf8"))));
    return { monitor, pid };
  };

  test.each(["slirp4netns", "pasta"])("%s comes again when it is killed", async (mode) => {
    const id = await host.must("run", "-d", "--network", mode, "starter", "sleep", "1000");
    const before = wayOut(id).pid;
    process.kill(before, "SIGKILL");
    for (let i = 0; i < 250 && [before, Number.NaN].includes(wayOut(id).pid); i++) await Bun.sleep(20);
    const ask = async () => (await host.pod("exec", id, "sh", "-c", `${get}; ${both}`)).stdout;
    const wanted = `${outside4}\n${outside6}\n`;
    let said = await ask();
    for (let i = 0; i < 4 && said !== wanted; i++) said = await ask(); // it may be there, and not ready yet
    expect(said).toBe(wanted);
    await host.must("rm", "-f", id);
  });

  test.each(["slirp4netns", "pasta"])("%s ends with the container, also when its monitor is killed", async (mode) => {
    const id = await host.must("run", "-d", "--network", mode, "starter", "sleep", "1000");
    const { monitor, pid } = wayOut(id);
    const seccomp = () => /^Seccomp:\t(\d)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1];
    for (let i = 0; i < 100 && seccomp() !== "2"; i++) await Bun.sleep(10); // pasta's comes last
    expect(seccomp()).toBe("2");
    process.kill(monitor, "SIGKILL");
    await host.must("rm", "-f", id);
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });

  test("pasta that hangs does not keep a container from ending", async () => {
    const id = await host.must("run", "-d", "--network", "pasta", "starter", "sleep", "1000");
    process.kill(wayOut(id).pid, "SIGSTOP");
    await host.must("rm", "-f", id);
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });

  test("without pasta the error says how to get it, and network reload mends what has lost it", async () => {
    const bin = join(host.work, "bin");
    mkdirSync(bin);
    for (const name of ["sh", "newuidmap", "newgidmap", "fuse-overlayfs", "nsenter", "pasta"]) {
      const path = Bun.which(name, { PATH: "/usr/bin:/bin:/usr/sbin:/sbin" });
      if (path) symlinkSync(path, join(bin, name));
    }
    const env = { PATH: bin };
    const options = ["--network", "pasta", "starter"];
    const { stdout } = await host.podWith({ env }, "run", "-d", "--name", "cut", ...options, "sleep", "1000");
    const id = stdout.trim();
    renameSync(join(bin, "pasta"), join(bin, "away"));
    const missing = await host.podWith({ env }, "run", "--rm", ...options, "true");
    expect(missing.code).toBe(125);
    expect(missing.stderr).toContain("pasta is not installed\nhint: ");
    expect(missing.stderr).toContain("sudo apt install passt");
    process.kill(wayOut(id).pid, "SIGKILL");
    const error = () => host.must("inspect", "-f", "{{.State.Error}}", "cut");
    for (let i = 0; i < 200 && !(await error()); i++) await Bun.sleep(20);
    expect(await error()).toStartWith("its network is gone: pasta is not installed");
    expect((await host.pod("network", "reload", "cut")).stderr).toContain("pasta is not installed");
    renameSync(join(bin, "away"), join(bin, "pasta"));
    expect(await host.must("network", "reload", "cut")).toBe(id);
    expect((await host.pod("exec", "cut", "sh", "-c", `${get}; ${both}`)).stdout).toBe(`${outside4}\n${outside6}\n`);
    expect(await error()).toBe("");
    await host.must("rm", "-f", "cut");
  });

  test("run --explain shows the program that leads out, and its options", async () => {
    const explain = (network: string) => host.must("run", "--explain", "--network", network, "starter", "true");
    expect(await explain("pasta")).toMatch(/^network +pasta .*--no-map-gw .*-t none -u none -T none -U none/m);
    expect(await explain("slirp4netns:mtu=1500")).toMatch(
      /^network +slirp4netns .*--mtu=1500 --enable-ipv6 --disable-host-loopback/m,
    );
  });
});
