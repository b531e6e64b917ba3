/** The host gets other resolvers and another address while containers run: a VPN comes up, a laptop changes its Wi-Fi. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Host, requires } from "./harness.ts";
import { Outside } from "./outside.ts";

setDefaultTimeout(60_000);

requires("/dev/net/tun").describe("/etc/resolv.conf", () => {
  const host = new Host();
  let outside: Outside;

  beforeAll(async () => {
    outside = await Outside.open("nameserver 192.0.2.53\nsearch home.example\n");
    await outside.sh("ip address add 192.0.2.53/24 dev out0; ip address add 192.0.2.54/24 dev out0");
    await Promise.all([
      outside.serveNames("192.0.2.53", "198.51.100.53"),
      outside.serveNames("192.0.2.54", "198.51.100.54"),
    ]);
    host.open();
    host.launcher = outside.launcher;
    await host.must("pull", "--quiet", "starter");
    const start = (name: string, ...options: string[]) =>
      host.must("run", "-d", "--name", name, ...options, "starter", "sleep", "1000");
    for (const [name, network] of networks) await start(name, "--network", network);
    await start("given", "--dns", "192.0.2.53", "--dns-search", "mine.example");
    await start("edited");
  });
  afterAll(async () => {
    await host.close();
    await outside.close();
  });

  const networks = [
    ["bridged", "bridge"],
    ["slirped", "slirp4netns"],
    ["pasted", "pasta"],
    ["hosted", "host"],
    ["lonely", "none"],
  ] as const;
  /** As programs do it: by a rename. */
  const writeResolvConf = (text: string) => {
    writeFileSync(outside.etc("resolv.conf.new"), text);
    renameSync(outside.etc("resolv.conf.new"), outside.etc("resolv.conf"));
  };
  const within = async (name: string, script: string) => (await host.pod("exec", name, "sh", "-c", script)).stdout;
  const becomes = async (name: string, script: string, pattern: RegExp) => {
    let said = await within(name, script);
    for (let i = 0; i < 30 && !pattern.test(said); i++) {
      await Bun.sleep(100);
      said = await within(name, script);
    }
    expect(said).toMatch(pattern);
  };
  const lookup = "nslookup name.example 2>&1";

  test("names are looked up at the host's resolver", async () => {
    for (const name of ["bridged", "slirped", "pasted"]) await becomes(name, lookup, /198\.51\.100\.53/);
    expect(await within("bridged", "cat /etc/resolv.conf")).toMatch(/^nameserver 10\.\S+\.3\nsearch home\.example\n$/);
    expect(await within("lonely", "cat /etc/resolv.conf")).toBe("nameserver 192.0.2.53\nsearch home.example\n");
  });

  test("it follows the host's, in the file and in what answers; what was given or edited stays", async () => {
    await within("edited", "echo nameserver 192.0.2.99 >/etc/resolv.conf");
    writeResolvConf("nameserver 192.0.2.54\nsearch vpn.example\n");
    for (const [name] of networks)
      await becomes(name, "cat /etc/resolv.conf", /^nameserver \S+\nsearch vpn\.example\n$/);
    expect(await within("hosted", "cat /etc/resolv.conf")).toBe("nameserver 192.0.2.54\nsearch vpn.example\n");
    for (const name of ["bridged", "slirped", "pasted"]) await becomes(name, lookup, /198\.51\.100\.54/);
    expect(await within("given", "cat /etc/resolv.conf")).toBe("nameserver 192.0.2.53\nsearch mine.example\n");
    expect(await within("edited", "cat /etc/resolv.conf")).toBe("nameserver 192.0.2.99\n");
  });

  test("while there is none for a moment all stays as it was", async () => {
    const before = await within("bridged", "cat /etc/resolv.conf");
    rmSync(outside.etc("resolv.conf"));
    writeFileSync(outside.etc("other"), "");
    await Bun.sleep(300);
    for (const name of ["bridged", "lonely"])
      expect(await within(name, "cat /etc/resolv.conf")).toContain("vpn.example");
    writeResolvConf("nameserver 192.0.2.54\nsearch again.example\n");
    await becomes("bridged", "cat /etc/resolv.conf", /search again\.example/);
    expect(before).toContain("vpn.example");
  });

  test("a resolver on the host's loopback answers too, as systemd-resolved does", async () => {
    await outside.serveNames("127.0.0.53", "198.51.100.127");
    writeResolvConf("nameserver 127.0.0.53\nsearch local.example\n");
    for (const name of ["bridged", "slirped", "pasted"]) await becomes(name, lookup, /198\.51\.100\.127/);
  });

  test("it follows a link to where that leads, also when the file there is written in place", async () => {
    const there = outside.etc("resolver");
    mkdirSync(there);
    writeFileSync(join(there, "resolv.conf"), "nameserver 192.0.2.54\nsearch linked.example\n");
    symlinkSync("resolver/resolv.conf", outside.etc("link"));
    renameSync(outside.etc("link"), outside.etc("resolv.conf"));
    await becomes("bridged", "cat /etc/resolv.conf", /search linked\.example/);
    writeFileSync(join(there, "resolv.conf"), "nameserver 192.0.2.54\nsearch written.example\n");
    await becomes("bridged", "cat /etc/resolv.conf", /search written\.example/);
    await becomes("lonely", "cat /etc/resolv.conf", /search written\.example/);
  });

  test("the host's names follow its address", async () => {
    await outside.sh(
      "ip address flush dev out0; ip address add 192.0.2.200/24 dev out0; ip address add 192.0.2.54/24 dev out0",
    );
    await outside.sh("ip route add default via 192.0.2.9");
    writeResolvConf("nameserver 192.0.2.54\nsearch moved.example\n");
    for (const name of ["bridged", "edited", "slirped", "pasted"]) {
      await becomes(name, "grep host.docker.internal /etc/hosts", /^192\.0\.2\.200\thost\.docker\.internal/);
    }
    expect(await within("bridged", "grep -c host.docker.internal /etc/hosts")).toBe("1\n");
  });
});
