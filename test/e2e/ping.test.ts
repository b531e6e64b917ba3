/** Ping from containers: what the host must allow, and who says so. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { bunInside, withFrames } from "./frames.ts";
import { Host, requires } from "./harness.ts";
import { Outside, outside4 } from "./outside.ts";

setDefaultTimeout(60_000);

requires("/dev/net/tun").describe("ping", () => {
  const host = new Host();
  let outside: Outside;

  beforeAll(async () => {
    outside = await Outside.open();
    host.open();
    host.launcher = outside.launcher;
    await host.must("pull", "--quiet", "starter");
  });
  afterAll(async () => {
    await host.close();
    await outside.close();
  });

  const modes = ["bridge", "slirp4netns", "pasta"];
  const answers = async (network: string, address: string) => {
    const script = `ping -c 1 -W 2 ${address} | grep -c 'bytes from'`;
    return (await host.pod("run", "--rm", "--network", network, "starter", "sh", "-c", script)).stdout;
  };
  const explain = (network: string) => host.must("run", "--explain", "--network", network, "starter", "true");
  const sysctl = /sudo sysctl -w 'net\.ipv4\.ping_group_range=0 2147483647'/;

  test("where the host does not let the user ping, info and --explain name the sysctl", async () => {
    await outside.sh("echo 1 0 >/proc/sys/net/ipv4/ping_group_range");
    for (const mode of modes) {
      expect(await answers(mode, outside4)).toBe("0\n");
      expect(await explain(mode)).toMatch(sysctl);
    }
    expect(await explain("none")).not.toMatch(sysctl);
    expect(await host.must("info")).toMatch(sysctl);
  });

  test("where it does, what is outside answers", async () => {
    await outside.sh("echo 0 65535 >/proc/sys/net/ipv4/ping_group_range");
    for (const mode of modes) {
      expect(await answers(mode, outside4)).toBe("1\n");
      expect(await explain(mode)).not.toMatch(sysctl);
    }
    expect(await host.must("info")).toContain("Ping: containers and what is outside");
  });

  test("any user of a container has sockets for pings", async () => {
    const program = 'import { canPing } from "/tree/src/ns/sys/socket.ts"; console.log(canPing())';
    const command = [bunInside, "--eval", program];
    expect(await host.must("run", "--rm", "-u", "1000:1000", ...withFrames(), "starter", ...command)).toBe("true");
  });

  test("--explain says what the name of the host leads to, and how its loopback is opened", async () => {
    for (const mode of modes)
      expect(await explain(mode)).toContain("host.docker.internal is 192.0.2.1; what listens on");
    expect(await explain("slirp4netns:allow_host_loopback=true")).toContain(
      "host.docker.internal is 10.0.2.2, the host with its loopback",
    );
    expect(await explain("none")).not.toContain("host.docker.internal");
  });
});
