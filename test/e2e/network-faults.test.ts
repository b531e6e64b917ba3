/** What goes wrong in networks: the others go on, what is written stays true, and nothing is left. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { ask, binary, Host, requires } from "./harness.ts";

interface Member {
  names: string[];
  namespaceFd: number;
  monitor: { pid: number };
  slirp: { pid: number };
}

setDefaultTimeout(60_000);

requires("/dev/net/tun").describe("faults of networks", () => {
  const host = new Host();
  beforeAll(async () => {
    host.open();
    await host.must("pull", "--quiet", "starter");
  });
  afterAll(() => host.close());

  const start = (name: string, ...options: string[]) =>
    host.must("run", "-d", "--name", name, ...options, "starter", "sleep", "1000");
  const within = async (name: string, script: string) => (await host.pod("exec", name, "sh", "-c", script)).stdout;
  const inspect = (name: string, path: string) => host.must("inspect", "-f", `{{${path}}}`, name);
  const addressIn = (network: string, name: string) =>
    inspect(name, `(index .NetworkSettings.Networks "${network}").IPAddress`);
  const members = (network: string) => {
    const dir = join(host.dataDir, "networks", network, "members");
    return readdirSync(dir).map((file) => JSON.parse(readFileSync(join(dir, file), "utf8")) as Member);
  };
  const memberOf = (network: string, name: string) => members(network).find(({ names }) => names.includes(name))!;

  test.each([
    [["-v", "a:b:c:d"], "invalid spec: a:b:c:d: too many colons"],
    [["-v", "/x:y"], "invalid volume specification: '/x:y'"],
    [["--mount", "type=what,target=/x"], "what"],
    [["--mount", "source"], 'invalid argument "source" for "--mount" flag'],
    [["--network", "nope"], "network nope not found"],
    [["--network", "bridge:ip=10.1"], "invalid IPv4 address: 10.1"],
    [["--network", "bridge:shape=round"], "invalid field key shape"],
    [["--network", "bridge", "--network", "bridge"], 'network "bridge" is specified multiple times'],
    [["--network", "host", "--network", "bridge"], "conflicting options: cannot attach both user-defined"],
    [["--network", "none", "--ip", "10.1.1.1"], "conflicting options"],
    [["--network-alias", "a b"], 'invalid network alias: "a b"'],
    [["--mac-address", "03:00:00:00:00:01"], "is a multicast address"],
  ])("run %p is refused, and makes no container", async (options, text) => {
    const { code, stderr } = await host.pod("run", "--rm", ...options, "starter", "true");
    expect({ code, stderr }).toEqual({ code: 125, stderr: expect.stringContaining(text) });
    expect(await host.must("ps", "-aq")).toBe("");
  });

  test("a network without a free address turns the next one away, until somebody leaves", async () => {
    await host.must("network", "create", "--internal", "--subnet", "10.99.3.0/30", "--gateway", "10.99.3.1", "tiny");
    await start("only", "--network", "tiny");
    const full = await host.pod("run", "--name", "more", "--network", "tiny", "starter", "true");
    expect(full.code).toBe(125);
    expect(full.stderr).toContain("no available IPv4 addresses on this network's address pools: tiny");
    await host.must("rm", "-f", "only");
    await host.must("start", "more");
    await host.must("rm", "-f", "more");
    await host.must("network", "rm", "tiny");
  });

  test("a container whose network was removed says so when it is started, and another network mends it", async () => {
    await host.must("network", "create", "gone");
    await host.must("create", "--name", "left", "--network", "gone", "starter", "true");
    await host.must("network", "rm", "gone");
    const { code, stderr } = await host.pod("start", "left");
    expect({ code, stderr }).toEqual({ code: 125, stderr: "pod: network gone not found\n" });
    await host.must("network", "create", "gone");
    await host.must("start", "left");
    await host.must("rm", "-f", "left");
    await host.must("network", "rm", "gone");
  });

  test("beside a VPN that has all routes there are subnets for networks", async () => {
    const script = `ip link set lo up; ip route add 0.0.0.0/1 dev lo; ip route add 128.0.0.0/1 dev lo; ip route add 10.0.0.0/8 dev lo
      "$0" network create vpn && "$0" network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' vpn; "$0" system reset -f`;
    const env = { ...host.env, XDG_DATA_HOME: join(host.work, "vpn") };
    const command = ["unshare", "--map-root-user", "--net", "sh", "-c", script, binary];
    const { stdout } = Bun.spawnSync(command, { env, cwd: host.work });
    expect(stdout.toString()).toContain("\n172.16.0.0/24\n");
  });

  test("after rename others find a container by its hostname too, though that was its name", async () => {
    await start("twin", "--hostname", "twin");
    await start("looker");
    await host.must("rename", "twin", "other");
    const address = await addressIn("bridge", "other");
    expect(await within("looker", "cat /etc/hosts")).toMatch(new RegExp(`^${address}\ttwin other `, "m"));
    expect(await within("other", "cat /etc/hosts")).toMatch(new RegExp(`^${address}\ttwin other `, "m"));
    await host.must("rm", "-f", "other", "looker");
  });

  test("a container that has a lease on its hosts file makes nobody wait", async () => {
    const child = `chroot /host ${process.execPath} ${join(import.meta.dir, "lease-child.ts")}`;
    const tenant = ["run", "-d", "--name", "tenant", "-v", "/:/host:ro", "starter"];
    await host.must(...tenant, "sh", "-c", `exec 9<>/etc/hosts; exec ${child}`);
    for (let i = 0; i < 200 && !(await host.must("logs", "tenant")); i++) await Bun.sleep(20);
    expect(await host.must("logs", "tenant")).toBe("leased");
    const begin = performance.now();
    await start("visitor");
    expect(performance.now() - begin).toBeLessThan(5000); // the kernel's lease-break-time is 45 s
    await host.must("rm", "-f", "visitor", "tenant");
  });

  test("a container that runs its hosts file as a program, or makes it long, holds nobody up", async () => {
    const script =
      "cat /bin/busybox >/etc/hosts; chmod 755 /etc/hosts; ln -s /etc/hosts /tmp/sleep; exec /tmp/sleep 1000";
    await host.must("run", "-d", "--name", "runner", "starter", "sh", "-c", script);
    for (let i = 0; i < 100 && !(await within("runner", "ls -l /proc/1/exe")).includes("hosts"); i++)
      await Bun.sleep(20);
    expect(await within("runner", "ls -l /proc/1/exe")).toContain("/etc/hosts");
    await start("long");
    await within("long", "dd if=/dev/zero of=/etc/hosts bs=1M count=1 seek=100000 2>/dev/null");
    await host.must("run", "--rm", "starter", "true");
    await start("other");
    await host.must("rename", "other", "renamed");
    expect(await within("renamed", "cat /etc/hosts")).toContain("runner");
    await host.must("rm", "-f", "renamed", "long");
    expect(await inspect("runner", ".State.Status")).toBe("running");
    await host.must("rm", "-f", "runner");
  });

  test("networks that are connected at once are all there at the next start, and one twice is refused", async () => {
    const names = ["n0", "n1", "n2", "n3"];
    for (const name of names) await host.must("network", "create", name);
    await start("joiner");
    await Promise.all(names.map((name) => host.must("network", "connect", name, "joiner")));
    expect(await within("joiner", "ls /sys/class/net")).toBe("eth0\neth1\neth2\neth3\neth4\nlo\n");
    await host.must("restart", "-t", "0", "joiner");
    expect(await within("joiner", "ls /sys/class/net")).toBe("eth0\neth1\neth2\neth3\neth4\nlo\n");
    await Promise.all(names.map((name) => host.must("network", "disconnect", name, "joiner")));
    expect(await inspect("joiner", "len .NetworkSettings.Networks")).toBe("1");
    const twice = await Promise.all([1, 2].map(() => host.pod("network", "connect", "n0", "joiner")));
    expect(twice.filter(({ code }) => code === 0)).toHaveLength(1);
    expect(twice.map(({ stderr }) => stderr).join("")).toContain(
      "endpoint with name joiner already exists in network n0",
    );
    expect(await within("joiner", "ls /sys/class/net")).toBe("eth0\neth1\nlo\n");
    await host.must("rm", "-f", "joiner");
    await host.must("network", "rm", ...names);
  });

  test("a way out of the container's own making stays when it is connected", async () => {
    await host.must("network", "create", "--internal", "closed");
    await host.must("network", "create", "open");
    await start("router", "--network", "closed");
    const [own] = (await within("router", "ip -o -4 addr show eth0")).match(/10\.\d+\.\d+/)!;
    await host.must("exec", "--privileged", "router", "ip", "route", "add", "default", "via", `${own}.1`);
    await host.must("network", "connect", "open", "router");
    expect(await within("router", "ip route show default")).toStartWith(`default via ${own}.1 dev eth0`);
    await host.must("network", "disconnect", "open", "router");
    expect(await within("router", "ls /sys/class/net")).toBe("eth0\nlo\n");
    await host.must("rm", "-f", "router");
    await host.must("network", "rm", "open", "closed");
  });

  test("a container whose network's owner was killed does not keep the address that another has then", async () => {
    await host.must("network", "create", "shared");
    await start("keeper", "--network", "shared");
    await start("owner", "--network", "shared");
    const answer = "while :; do echo guest | nc -l -p 80; done";
    await host.must("run", "-d", "--name", "guest", "--network", "container:owner", "starter", "sh", "-c", answer);
    const address = await addressIn("shared", "owner");
    expect(await within("keeper", `${ask}; ask ${address} 80`)).toBe("guest\n");
    process.kill(memberOf("shared", "owner").monitor.pid, "SIGKILL");
    await start("heir", "--network", "shared");
    expect(await addressIn("shared", "heir")).toBe(address);
    expect(await within("keeper", `nc -w 1 ${address} 80 < /dev/null`)).toBe("");
    expect(await within("keeper", `ping -c 1 -W 1 ${address}`)).toContain("1 packets received");
    await host.must("rm", "-f", "guest", "owner", "heir", "keeper");
    await host.must("network", "rm", "shared");
  });

  test("a slirp4netns of the container's own is replaced when it is killed", async () => {
    await start("own", "--network", "slirp4netns");
    const state = JSON.parse(
      readFileSync(join(host.dataDir, "containers", await inspect("own", ".Id"), "state.json"), "utf8"),
    );
    const slirps = () =>
      readFileSync(`/proc/${state.monitor.pid}/task/${state.monitor.pid}/children`, "utf8")
        .trim()
        .split(" ")
        .filter((pid) => readFileSync(`/proc/${pid}/comm`, "utf8") === "slirp4netns\n");
    const [old] = slirps();
    process.kill(Number(old), "SIGKILL");
    const isReplaced = () => slirps().length === 1 && slirps()[0] !== old;
    for (let i = 0; i < 250 && !isReplaced(); i++) await Bun.sleep(20);
    expect(isReplaced()).toBe(true);
    for (let i = 0; i < 250 && !(await within("own", "ip route show default")); i++) await Bun.sleep(20);
    expect(await within("own", "ip -o -4 addr show tap0")).toContain("10.0.2.100/24");
    await host.must("rm", "-f", "own");
  });

  test("SIGKILL of everything leaves no process, no namespace and no interface, and the next start works", async () => {
    const interfaces = Object.keys(networkInterfaces());
    await host.must("network", "create", "doomed");
    await start("web", "--network", "doomed", "-p", "127.0.0.1::80");
    await start("db", "--network", "doomed", "--network", "bridge");
    await start("sidecar", "--network", "container:web");
    await start("alone", "--network", "slirp4netns");
    const programs = await Promise.all(["web", "db", "sidecar", "alone"].map((name) => inspect(name, ".State.Pid")));
    const networks = ["doomed", "bridge"].flatMap(members);
    const spaces = new Set([
      ...programs.map((pid) => readlinkSync(`/proc/${pid}/ns/net`)),
      ...networks.map(({ monitor, namespaceFd }) => readlinkSync(`/proc/${monitor.pid}/fd/${namespaceFd}`)),
    ]);
    for (const pid of host.processes()) process.kill(pid, "SIGKILL");
    const holders = () => processesIn(spaces);
    for (let i = 0; i < 250 && (holders().length || host.processes().length); i++) await Bun.sleep(20);
    expect(holders()).toEqual([]);
    expect(host.processes()).toEqual([]);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(" net:[");
    expect(Object.keys(networkInterfaces())).toEqual(interfaces);
    expect(await host.must("ps", "--format", "{{.Names}}")).toBe("");
    await host.must("start", "web", "db");
    expect(await within("db", "ping -c 1 -W 1 web")).toContain("1 packets received");
    await host.must("rm", "-f", "web", "db", "sidecar", "alone");
    await host.must("network", "rm", "doomed");
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });

  test("fifty containers that come and go at once know exactly each other, by their true addresses", async () => {
    const first = Array.from({ length: 50 }, (_, index) => `m${index}`);
    const second = Array.from({ length: 25 }, (_, index) => `s${index}`);
    const [leaving, staying] = [first.slice(0, 25), first.slice(25)];
    const expectAllRight = async (names: string[]) => {
      const addresses = await host.must(
        "inspect",
        "-f",
        "{{.NetworkSettings.Networks.bridge.IPAddress}} {{.Name}}",
        ...names,
      );
      const wanted = addresses.replaceAll("/", "").split("\n").toSorted();
      expect(new Set(wanted.map((line) => line.split(" ")[0])).size).toBe(names.length);
      for (const text of await Promise.all(names.map((name) => host.must("exec", name, "cat", "/etc/hosts")))) {
        const known = [...text.matchAll(/^(10\.\S+)\t[0-9a-f]{12} (\S+)\t# pod$/gm)].map(
          ([, ip, name]) => `${ip} ${name}`,
        );
        expect(known.toSorted()).toEqual(wanted);
      }
    };
    await Promise.all(first.map((name) => start(name)));
    await expectAllRight(first);
    await Promise.all([...leaving.map((name) => host.must("rm", "-f", name)), ...second.map((name) => start(name))]);
    await expectAllRight([...staying, ...second]);
    expect(new Set(members("bridge").map(({ slirp }) => slirp.pid)).size).toBe(1);
    await Promise.all([...staying, ...second].map((name) => host.must("rm", "-f", name)));
    expect(await host.leftoversWithoutImages()).toEqual([]);
  }, 180_000);
});

/** Processes that are in one of these network namespaces, or hold one open. */
function processesIn(spaces: Set<string>): string[] {
  const target = (path: string) => {
    try {
      return readlinkSync(path);
    } catch {
      return ""; // it has ended, or is not ours
    }
  };
  const files = (pid: string) => {
    try {
      return readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`);
    } catch {
      return [];
    }
  };
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => [`/proc/${pid}/ns/net`, ...files(pid)].some((path) => spaces.has(target(path))));
}
