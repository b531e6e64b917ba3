/** What programs in a container try against its network: each has Docker's capabilities, CAP_NET_RAW among them. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { bunInside, parseFrames, sendCommand, withFrames } from "./frames.ts";
import { Host, requires } from "./harness.ts";

setDefaultTimeout(60_000);

requires("/dev/net/tun").describe("isolation of networks", () => {
  const host = new Host();
  const inside = (name: string, ...command: string[]) => host.pod("exec", name, ...command);
  const start = (name: string, ...options: string[]) =>
    host.must("run", "-d", "--name", name, ...withFrames(), ...options, "starter", "sleep", "1000");

  beforeAll(async () => {
    host.open();
    await host.must("pull", "--quiet", "starter");
    await Promise.all([start("mallory"), start("victim"), start("watcher")]);
  });
  afterAll(() => host.close());

  const plugOf = async (name: string) => {
    const path = "{{with .NetworkSettings.Networks.bridge}}{{.IPAddress}} {{.MacAddress}} {{.Gateway}}{{end}}";
    const [address, mac, gateway] = (await host.must("inspect", "-f", path, name)).split(" ") as [
      string,
      string,
      string,
    ];
    return { address: dotted(address), hardware: mac.replaceAll(":", ""), gateway: dotted(gateway) };
  };

  test("a frame that is not from a member's own addresses reaches nobody, whatever it says", async () => {
    const [own, victim] = await Promise.all(["mallory", "victim"].map(plugOf));
    const { hardware: ours, address, gateway } = own!;
    const { hardware: theirs, address: theirAddress } = victim!;
    const honest = [ethernet(ours, "0800", udp(address)), ethernet(ours, "0806", arp(ours, address))];
    const forged = [
      ethernet(theirs, "0800", udp(address)), // the bridge would send there what is for the victim
      ethernet(theirs, "0806", arp(ours, address)),
      ethernet(theirs, "0800", udp(theirAddress)),
      ethernet(theirs, "0806", arp(theirs, theirAddress)),
      ethernet(ours, "0800", udp(theirAddress)),
      ethernet(ours, "0800", udp(gateway)),
      ethernet(ours, "0800", udp("c0000209")), // 192.0.2.9, nobody's
      ethernet(ours, "0806", arp(ours, theirAddress)),
      ethernet(ours, "0806", arp(ours, gateway)),
      ethernet(ours, "0806", arp(theirs, theirAddress)),
      ethernet(ours, "0806", arp("024200000000", address)), // the bridge's own
      ethernet(ours, "81000001", `0800${udp(theirAddress)}`), // IEEE 802.1Q
      ethernet(ours, "88b5", "00".repeat(46)), // for experiments
      ethernet(ours, "86dd", routerAdvertisement(ours)),
    ];
    const watch = inside("watcher", ...sendCommand("eth0", 1, 5000, []));
    const isWatching = async () => (await inside("watcher", "cat", "/proc/net/packet")).stdout.includes(" 0003 ");
    for (let i = 0; i < 100 && !(await isWatching()); i++) await Bun.sleep(20);
    const frames = [...forged, ...honest].map((digits) => Buffer.from(digits, "hex"));
    expect(await inside("mallory", ...sendCommand("eth0", 1, 0, frames))).toMatchObject({ code: 0, stderr: "" });
    const arrived = parseFrames((await watch).stdout).map((frame) => frame.toString("hex"));
    expect(arrived.filter((digits) => [...forged, ...honest].includes(digits))).toEqual(honest);
  });

  test("the neighbours that others know stay true", async () => {
    const { address, hardware } = await plugOf("victim");
    await inside("watcher", "ping", "-c", "1", "-W", "1", "victim");
    const known = (await inside("watcher", "cat", "/proc/net/arp")).stdout;
    const text = address
      .match(/../g)!
      .map((byte) => Number.parseInt(byte, 16))
      .join(".");
    expect(
      known
        .split("\n")
        .find((line) => line.startsWith(`${text} `))
        ?.replaceAll(":", ""),
    ).toContain(hardware);
  });

  test("the host's abstract unix sockets are not there", async () => {
    const name = `pod-test-${process.pid}`;
    const server = createServer((socket) => socket.end("reached\n")).listen(`\0${name}`);
    const script = `require("net").connect("\\0${name}").on("data", (bytes) => console.log(String(bytes).trim()))
      .on("error", ({ code }) => console.log(code));`;
    expect(await Bun.spawn([process.execPath, "-e", script]).stdout.text()).toBe("reached\n");
    const { stdout } = await inside("mallory", bunInside, "-e", script);
    expect(stdout).toBe("ECONNREFUSED\n");
    expect((await inside("mallory", "cat", "/proc/net/unix")).stdout).not.toContain(name);
    server.close();
  });

  test("slirp4netns has no socket that takes commands, and no member sees its process", async () => {
    const file = join(host.dataDir, "networks/bridge/members");
    const [member] = readdirSync(file).map((name) => JSON.parse(readFileSync(join(file, name), "utf8")));
    expect(readFileSync(`/proc/${member.slirp.pid}/cmdline`, "utf8")).not.toContain("--api-socket");
    expect((await inside("mallory", "ps")).stdout).not.toContain("slirp4netns");
    expect((await inside("mallory", "cat", "/proc/net/unix")).stdout).not.toContain("slirp4netns");
  });

  test("the host's loopback is refused on IPv4 and IPv6, by TCP and by UDP", async () => {
    const heard: string[] = [];
    const udpServer = await Bun.udpSocket({
      hostname: "127.0.0.1",
      socket: { data: (_, bytes) => void heard.push(String(bytes)) },
    });
    const servers = ["127.0.0.1", "::1"].map((hostname) =>
      Bun.serve({ hostname, port: 0, fetch: () => new Response("the host's own\n") }),
    );
    const gateway = await host.must("inspect", "-f", "{{.NetworkSettings.Networks.bridge.Gateway}}", "mallory");
    for (const address of [
      "127.0.0.1",
      "::1",
      "::ffff:127.0.0.1",
      gateway,
      gateway.replace(/2$/, "3"),
      "10.0.2.2",
      "fd00::2",
    ]) {
      for (const { port } of servers) {
        const get = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 ${address} ${port}`;
        expect((await inside("mallory", "sh", "-c", get)).stdout).toBe("");
      }
      await inside("mallory", "sh", "-c", `echo heard | nc -u -w 1 ${address} ${udpServer.port}`);
    }
    expect(heard).toEqual([]);
    udpServer.close();
    await Promise.all(servers.map((server) => server.stop(true)));
  });

  test("with power over its own network too it reaches no other one", async () => {
    await host.must("network", "create", "--subnet", "10.123.7.0/24", "apart");
    await start("alone", "--network", "apart");
    const target = await host.must("inspect", "-f", "{{.NetworkSettings.Networks.apart.IPAddress}}", "alone");
    const { gateway } = await plugOf("mallory");
    const via = gateway
      .match(/../g)!
      .map((byte) => Number.parseInt(byte, 16))
      .join(".");
    for (const way of [`via ${via} dev eth0`, "dev eth0"]) {
      const script = `ip route replace 10.123.7.0/24 ${way}; ping -c 1 -W 1 ${target}; ip route del 10.123.7.0/24`;
      expect((await host.pod("exec", "--privileged", "mallory", "sh", "-c", script)).stdout).not.toContain(
        "bytes from",
      );
    }
    const own =
      "ip address add 10.123.7.9/24 dev eth0; ping -c 1 -W 1 10.123.7.4; ip address del 10.123.7.9/24 dev eth0";
    expect((await host.pod("exec", "--privileged", "mallory", "sh", "-c", own)).stdout).not.toContain("bytes from");
  });
});

/** As eight hexadecimal digits. */
function dotted(address: string): string {
  return address
    .split(".")
    .map((byte) => Number(byte).toString(16).padStart(2, "0"))
    .join("");
}

/** To all. Hexadecimal digits, as the others: IEEE 802.3. */
function ethernet(source: string, type: string, payload: string): string {
  return `ffffffffffff${source}${type}${payload}`;
}

/** To 255.255.255.255, port 9: RFC 791, RFC 768. */
function udp(source: string): string {
  const header = (sum: string) => `45000020000040004011${sum}${source}ffffffff`;
  return `${header(checksum(header("0000")))}00090009000c0000666f7267`;
}

/** The Internet's: RFC 1071. */
function checksum(digits: string): string {
  const sum = digits.match(/..../g)!.reduce((total, word) => total + Number.parseInt(word, 16), 0);
  return (0xffff - ((sum & 0xffff) + (sum >> 16))).toString(16).padStart(4, "0");
}

/** A reply, to all: RFC 826. */
function arp(senderHardware: string, sender: string): string {
  return `0001080006040002${senderHardware}${sender}ffffffffffff${sender}`;
}

/** From the link-local address of `hardware`, to all nodes: RFC 4861. */
function routerAdvertisement(hardware: string): string {
  const first = (Number.parseInt(hardware.slice(0, 2), 16) ^ 2).toString(16).padStart(2, "0");
  const source = `fe80000000000000${first}${hardware.slice(2, 6)}fffe${hardware.slice(6)}`;
  return `6000000000103aff${source}ff020000000000000000000000000001860000004000070800000000${"00".repeat(4)}`;
}
