/** The host's loopback: out of a container's reach, whatever that sends, unless the user opens it; and the names of the host. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { answerTo, parseFrames, sendCommand, synFrame, withFrames } from "./frames.ts";
import { Host, requires } from "./harness.ts";
import { get, Outside, outside4, outside6 } from "./outside.ts";

setDefaultTimeout(60_000);

const mac = "02:00:00:00:00:07";
const [open, inner4, inner6] = [8080, 8081, 8082];

requires("/dev/net/tun").describe("the host's loopback", () => {
  const host = new Host();
  let outside: Outside;

  beforeAll(async () => {
    outside = await Outside.open("nameserver 127.0.0.1\n");
    await Promise.all([
      outside.serve("[::]", open, "for all"),
      outside.serve("127.0.0.1", inner4, "for the host alone"),
      outside.serve("[::1]", inner6, "for the host alone"),
    ]);
    host.open();
    host.launcher = outside.launcher;
    await host.must("pull", "--quiet", "starter");
    await host.must("network", "create", "--subnet", "10.99.1.0/24", "--subnet", "2001:db8:7::/64", "both");
    await host.must("network", "create", "-o", "allow_host_loopback=true", "opened");
  });
  afterAll(async () => {
    await host.close();
    await outside.close();
  });

  const sh = (network: string, script: string, ...options: string[]) =>
    host.pod("run", "--rm", "--network", network, ...options, "starter", "sh", "-c", `${get}; ${script}`);

  /** How a server answers to segments that a container's root made by hand, as its capability CAP_NET_RAW lets it. */
  const probe = async (options: string[], from: { interface: string; mac: string; v4: string; v6: string }) => {
    const targets = [
      [outside4, open],
      [outside6, open],
      ["127.0.0.1", inner4],
      ["127.9.9.9", inner4],
      ["0.0.0.0", inner4],
      ["::1", inner6],
      ["::", inner6],
      ["::ffff:127.0.0.1", inner4],
    ] as const;
    const frames = targets.map(([to, port], index) => {
      const address = to.includes(":") ? from.v6 : from.v4;
      return synFrame({ mac: from.mac, address }, to, port, 40_000 + index);
    });
    const command = sendCommand(from.interface, 3, 700, frames); // again, as TCP does: an answer may first have to find its way
    const { stdout, stderr, code } = await host.pod("run", "--rm", ...options, ...withFrames(), "starter", ...command);
    if (code !== 0) throw new Error(stderr);
    const received = parseFrames(stdout);
    return Object.fromEntries(targets.map(([to], index) => [to, answerTo(40_000 + index, received)]));
  };
  const onlyOutside = {
    [outside4]: "open",
    [outside6]: "open",
    "127.0.0.1": undefined,
    "127.9.9.9": undefined,
    "0.0.0.0": undefined,
    "::1": undefined,
    "::": undefined,
    "::ffff:127.0.0.1": undefined,
  } as const;

  test("is out of reach for packets that name it, in a network", async () => {
    const addresses = ["--ip", "10.99.1.7", "--ip6", "2001:db8:7::7", "--mac-address", mac];
    const from = { interface: "eth0", mac, v4: "10.99.1.7", v6: "2001:db8:7::7" };
    expect(await probe(["--network", "both", ...addresses], from)).toEqual(onlyOutside);
  });

  test("nothing is answered to who has another's hardware address", async () => {
    const addresses = ["--ip", "10.99.1.7", "--ip6", "2001:db8:7::7", "--mac-address", mac];
    const from = { interface: "eth0", mac: "02:00:00:00:00:99", v4: "10.99.1.7", v6: "2001:db8:7::7" };
    const answers = await probe(["--network", "both", ...addresses], from);
    expect(Object.values(answers).filter(Boolean)).toEqual([]);
  });

  test.each(["slirp4netns", "pasta"])(
    "is out of reach for packets that name it, with a %s of its own",
    async (mode) => {
      const from = { interface: "tap0", mac: "02:42:0a:00:02:64", v4: "10.0.2.100", v6: "fd00::100" };
      expect(await probe(["--network", mode], from)).toEqual(onlyOutside);
    },
  );

  test("is out of reach by the resolver's address, which answers for names alone", async () => {
    await outside.serveNames("127.0.0.1", "198.51.100.1");
    for (const network of ["both", "slirp4netns", "pasta"]) {
      const resolver = network === "both" ? "10.99.1.3" : "10.0.2.3";
      const script = `nslookup name.example 2>&1 | grep -c 198.51.100.1; get ${resolver} ${inner4}`;
      expect((await sh(network, script)).stdout).toBe("1\n");
    }
  });

  test.each([
    ["slirp4netns:allow_host_loopback=true", "10.0.2.2"],
    ["pasta:--map-gw", "10.0.2.2"],
    ["opened", "10.88.0.2"],
  ])("is reached with --network %s, by the host's names", async (network, gateway) => {
    const script = `get host.docker.internal ${inner4}; get host.containers.internal ${inner4}; get me ${inner4}; get ${gateway} ${inner4}`;
    const { stdout } = await sh(network, script, "--add-host", "me:host-gateway");
    expect(stdout).toBe("for the host alone\n".repeat(4));
  });

  test("the names of the host lead to its address for others, and to loopback only in its own network", async () => {
    const names = "grep -E 'host.docker.internal|host.containers.internal|me$' /etc/hosts";
    const options = ["--add-host", "me:host-gateway"];
    for (const network of ["bridge", "both", "slirp4netns", "pasta"]) {
      expect((await sh(network, `get host.docker.internal ${open}; get me ${open}`, ...options)).stdout).toBe(
        "for all\nfor all\n",
      );
      expect((await sh(network, `get host.docker.internal ${inner4}`)).stdout).toBe("");
    }
    expect((await sh("host", `${names}; get host.docker.internal ${inner4}`, ...options)).stdout).toBe(
      "127.0.0.1\tme\n127.0.0.1\thost.docker.internal host.containers.internal\nfor the host alone\n",
    );
  });

  test("the option belongs to the network, since its members share the way out", async () => {
    const asked = await host.pod("run", "--network", "both:allow_host_loopback=true", "starter", "true");
    expect(asked).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("network create -o allow_host_loopback=true"),
    });
    const bad = await host.pod("network", "create", "-o", "allow_host_loopback=1", "new");
    expect(bad.stderr).toContain("invalid allow_host_loopback 1");
    const inner = await host.pod("network", "create", "--internal", "-o", "allow_host_loopback=true", "new");
    expect(inner.stderr).toContain("conflicting options: --internal and allow_host_loopback");
  });
});
