/** IPv6 in networks with a bridge and outward, and what nobody may do with it. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { neighbourFrame, routerFrame, sendCommand, solicitationFrame, withFrames } from "./frames.ts";
import { ask, Host, requires } from "./harness.ts";
import { get, Outside, outside4, outside6 } from "./outside.ts";

setDefaultTimeout(60_000);

requires("/dev/net/tun").describe("IPv6", () => {
  const host = new Host();
  let outside: Outside;

  beforeAll(async () => {
    outside = await Outside.open();
    await outside.serve("[::]", 8080, "from outside");
    host.open();
    host.launcher = outside.launcher;
    await host.must("pull", "--quiet", "starter");
    const subnets = ["--subnet", "10.99.1.0/24", "--subnet", "2001:db8:7::/64", "--ip-range", "2001:db8:7::100/120"];
    await host.must("network", "create", ...subnets, "mine");
    await host.must("network", "create", "--ipv6", "any");
    await host.must("network", "create", "--ipv6", "--internal", "inner");
  });
  afterAll(async () => {
    await host.close();
    await outside.close();
  });

  const start = (name: string, ...options: string[]) =>
    host.must(
      "run",
      "-d",
      "--name",
      name,
      ...options,
      "starter",
      "sh",
      "-c",
      "while :; do hostname | nc -l -p 80; done",
    );
  const within = async (name: string, script: string) =>
    (await host.pod("exec", name, "sh", "-c", `${get}; ${script}`)).stdout;
  const addressOf = (name: string, network: string) =>
    host.must("inspect", "-f", `{{.NetworkSettings.Networks.${network}.GlobalIPv6Address}}`, name);

  test("a network has the subnet that was asked for, or one of its own, as Docker shows them", async () => {
    const [mine, any, inner] = JSON.parse(await host.must("network", "inspect", "mine", "any", "inner"));
    expect(mine).toMatchObject({
      EnableIPv6: true,
      IPAM: {
        Config: [
          { Subnet: "10.99.1.0/24", Gateway: "10.99.1.2" },
          { Subnet: "2001:db8:7::/64", IPRange: "2001:db8:7::100/120", Gateway: "fe80::2" },
        ],
      },
    });
    const own = any.IPAM.Config[1];
    expect(own).toEqual({ Subnet: expect.stringMatching(/^fd[0-9a-f:]+::\/64$/), Gateway: "fe80::2" });
    expect(inner.IPAM.Config[1].Subnet).not.toBe(own.Subnet);
    expect(inner.IPAM.Config[1].Gateway).toBe(inner.IPAM.Config[1].Subnet.replace("/64", "1"));
    expect(await host.must("network", "ls", "--filter", "name=any", "--format", "{{.IPv6}}")).toBe("true");
    const [bridge] = JSON.parse(await host.must("network", "inspect", "bridge"));
    expect(bridge.EnableIPv6).toBe(false); // as Docker's
  });

  test.each([
    [["--subnet", "2001:db8:7:0::/80", "new"], "Pool overlaps with other one on this address space"],
    [
      ["--subnet", "2001:db8:8::/64", "--subnet", "2001:db8:9::/64", "new"],
      "at most one subnet of IPv4 and one of IPv6",
    ],
    [["--subnet", "2001:db8:8::/127", "new"], "the prefix must be 8 to 126"],
    [["--subnet", "2001:db8:8::/64", "--gateway", "2001:db8:8::1", "new"], "is always fe80::2"],
    [
      ["--subnet", "2001:db8:8::/64", "--gateway", "2001:db8:9::1", "new"],
      "no matching subnet for gateway 2001:db8:9::1",
    ],
    [["--subnet", "2001:db8:8::/64", "--ip-range", "2001:db8:9::/80", "new"], "no matching subnet for range"],
    [["--ipv6", "-o", "mtu=1279", "new"], "invalid mtu 1279: it must be 1280 to 65520"],
  ])("network create %p is refused", async (words, text) => {
    const { code, stderr } = await host.pod("network", "create", ...words);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(text) });
  });

  test("members have addresses of both versions, find each other by both, and reach what is outside by both", async () => {
    await start("first", "--network", "mine", "--ip", "10.99.1.7", "--ip6", "2001:db8:7::7");
    await start("second", "--network", "mine", "--network-alias", "db");
    expect(await addressOf("first", "mine")).toBe("2001:db8:7::7");
    expect(await addressOf("second", "mine")).toBe("2001:db8:7::100");
    const path =
      "{{with .NetworkSettings.Networks.mine}}{{.IPv6Gateway}} {{.GlobalIPv6PrefixLen}} {{.IPAMConfig.IPv6Address}}{{end}}";
    expect(await host.must("inspect", "-f", path, "first")).toBe("fe80::2 64 2001:db8:7::7");
    const members = await host.must(
      "network",
      "inspect",
      "-f",
      "{{range .Containers}}{{.IPv6Address}} {{end}}",
      "mine",
    );
    expect(members.trim().split(" ").toSorted()).toEqual(["2001:db8:7::100/64", "2001:db8:7::7/64"]);
    expect(await within("first", "cat /etc/hosts")).toMatch(
      /\n10\.99\.1\.\d+\t.* db\t# pod\n2001:db8:7::100\t.* db\t# pod\n/,
    );
    expect(await within("first", `${ask}; ask 2001:db8:7::100 80; ask db 80`)).toBe(
      `${await within("second", "hostname")}`.repeat(2),
    );
    expect(await within("first", "ping -6 -c 1 -W 2 db | grep -c 'bytes from 2001:db8:7::100'")).toBe("1\n");
    for (const name of ["first", "second"]) {
      expect(await within(name, `get ${outside6} 8080; get ${outside4} 8080`)).toBe("from outside\n".repeat(2));
    }
  });

  test("an address that is taken, or in no subnet, is refused", async () => {
    const run = (network: string, address: string) =>
      host.pod("run", "--rm", "--network", network, "--ip6", address, "starter", "true");
    expect((await run("mine", "2001:db8:7::7")).stderr).toContain("Address already in use: 2001:db8:7::7");
    for (const [network, address] of [
      ["mine", "2001:db8:9::7"],
      ["bridge", "2001:db8:7::9"],
    ] as const) {
      expect(await run(network, address)).toMatchObject({
        code: 125,
        stderr: expect.stringContaining(`no configured subnet contains IP address ${address}`),
      });
    }
  });

  test("an address works as soon as the program runs, and the start waits for nothing", async () => {
    const script = `${get}; get ${outside6} 8080; cat /proc/net/if_inet6`;
    const { stdout } = await host.pod("run", "--rm", "--network", "any", "starter", "sh", "-c", script);
    expect(stdout).toStartWith("from outside\n");
    expect(stdout).toMatch(/\nfd\S+ \S+ 40 00 82 +eth0\n/); // IFA_F_PERMANENT, IFA_F_NODAD: it is never tentative
  });

  test("an internal network has IPv6, and no way out", async () => {
    await start("inside", "--network", "inner");
    const address = await addressOf("inside", "inner");
    const script = `${get}; ${ask}; ask ${address} 80; get ${outside6} 8080; ip -6 route | grep default`;
    const { stdout } = await host.pod("run", "--rm", "--network", "inner", "starter", "sh", "-c", script);
    expect(stdout).toBe(await within("inside", "hostname"));
  });

  test("a running container is connected and disconnected, and its way out by IPv6 follows", async () => {
    await start("late");
    expect(await within("late", "ip -6 route | grep -c default")).toBe("0\n");
    await host.must("network", "connect", "--ip6", "2001:db8:7::77", "mine", "late");
    expect(await within("late", `ip route | grep default; ip -6 route | grep default; get ${outside6} 8080`)).toMatch(
      /^default via 10\.\S+\.2 dev eth0 .*\ndefault via fe80::2 dev eth1 .*\nfrom outside\n$/,
    );
    await host.must("network", "connect", "any", "late");
    await host.must("network", "disconnect", "mine", "late");
    expect(await within("late", `ip -6 route | grep default; get ${outside6} 8080`)).toMatch(
      /^default via fe80::2 dev eth2 .*\nfrom outside\n$/,
    );
    await host.must("rm", "-f", "late");
  });

  test("where slirp4netns was killed, another one has IPv6 too", async () => {
    const dir = join(host.dataDir, "networks/mine/members");
    const slirps = () => readdirSync(dir).map((file) => JSON.parse(readFileSync(join(dir, file), "utf8")).slirp.pid);
    const [old] = slirps();
    process.kill(old, "SIGKILL");
    for (let i = 0; i < 250 && slirps().includes(old); i++) await Bun.sleep(20);
    expect(await within("first", `get ${outside6} 8080`)).toBe("from outside\n");
  });

  test("nobody can pose as another member, or as a router", async () => {
    const mac = "02:00:00:00:00:66";
    const own = { mac, address: "2001:db8:7::66" };
    const local = { mac, address: "fe80::ff:fe00:66" };
    const spoofed = { mac, address: "2001:db8:7::99" };
    const frames = [
      routerFrame(local, "2001:db8:bad::", false),
      routerFrame(local, "2001:db8:bad:1::", true),
      routerFrame({ mac, address: "fe80::99" }, "2001:db8:bad:2::", false),
      neighbourFrame(own, "2001:db8:7::98"),
      neighbourFrame(local, "2001:db8:7::98"),
      solicitationFrame(spoofed, "2001:db8:7::7"),
    ];
    const looked = within("first", "ping -6 -c 1 -W 3 2001:db8:7::98; true"); // so it waits for an advertisement
    const options = ["--network", "mine", "--ip6", own.address, "--mac-address", mac, ...withFrames()];
    const { stderr, code } = await host.pod(
      "run",
      "--rm",
      ...options,
      "starter",
      ...sendCommand("eth0", 30, 50, frames),
    );
    expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
    expect(await looked).not.toContain("bytes from");
    expect(await within("first", "ip -6 neigh")).not.toMatch(new RegExp(`::9[89] .*lladdr|::99 |${mac}.*::98`));
    expect(await within("first", "ip -6 address; ip -6 route")).not.toMatch(/2001:db8:bad|fd00::/); // the last: slirp4netns's own
    expect(await within("first", "ip -6 route | grep -c default")).toBe("1\n");
    const fair = solicitationFrame(own, "2001:db8:7::7");
    await host.must("run", "--rm", ...options, "starter", ...sendCommand("eth0", 1, 200, [fair]));
    expect(await within("first", "ip -6 neigh")).toMatch(/2001:db8:7::66 .*lladdr 02:00:00:00:00:66/); // the same way does work
  });

  test("a network of IPv4 carries no IPv6 between its members", async () => {
    await start("four");
    await start("other");
    const local = (await within("four", "ip -6 address show eth0 | sed -n 's/.*inet6 \\(fe80[^/]*\\).*/\\1/p'")).trim();
    expect(local).toStartWith("fe80::");
    expect(await within("other", `sleep 2; ping -6 -c 1 -W 2 ${local}%eth0 | grep -c 'bytes from'`)).toBe("0\n");
    await host.must("rm", "-f", "four", "other");
  });
});
