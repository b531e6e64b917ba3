/** Networks with a bridge: addresses, names, the way out, and what nobody may do in them. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { ask, onBothDrivers, requires } from "./harness.ts";

interface Member {
  names: string[];
  monitor: { pid: number };
  slirp: { pid: number };
}

/** An address of this host that is not loopback; undefined where it has none. */
const ownAddress = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

requires("/dev/net/tun").describe("with a way out", () => {
  onBothDrivers("a network with a bridge", (host) => {
    const server = Bun.serve({ hostname: "0.0.0.0", port: 0, fetch: () => new Response("hello from the host\n") });
    const inside = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("for the host alone\n") });
    beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));
    afterAll(async () => {
      await Promise.all([server.stop(true), inside.stop(true)]);
    });

    const start = async (name: string, ...options: string[]) => {
      const script = "while :; do echo $(hostname) | nc -l -p 80; done";
      await host.must(
        "run",
        "-d",
        "--name",
        name,
        "--hostname",
        `${name}-host`,
        ...options,
        "starter",
        "sh",
        "-c",
        script,
      );
    };
    const within = (name: string, script: string) => host.pod("exec", name, "sh", "-c", script);
    const inspect = (name: string, path: string) => host.must("inspect", "-f", `{{${path}}}`, name);
    const addressOf = (name: string) => inspect(name, ".NetworkSettings.Networks.bridge.IPAddress");
    const get = (address: string, port: number) =>
      `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${address} ${port} | tail -n 1`;
    const members = (network: string) => {
      const dir = join(host.dataDir, "networks", network, "members");
      return readdirSync(dir).map((file) => JSON.parse(readFileSync(join(dir, file), "utf8")) as Member);
    };

    test("members have addresses of their own, reach each other by every name, and the outside", async () => {
      await start("first", "--network-alias", "one");
      await start("second");
      const [first, second] = [await addressOf("first"), await addressOf("second")];
      expect(first).toMatch(/^10\.\d+\.\d+\.4$/);
      expect(second).toBe(first.replace(/4$/, "5"));
      const id = await host.must("inspect", "-f", "{{.Id}}", "first");
      for (const name of ["first", "first-host", "one", id.slice(0, 12), first]) {
        expect(await within("second", `${ask}; ask ${name} 80`)).toMatchObject({ stdout: "first-host\n" });
      }
      expect(await within("first", `${ask}; ask second 80`)).toMatchObject({ stdout: "second-host\n" });
      const dns = first.replace(/4$/, "3");
      expect((await within("first", "cat /etc/resolv.conf")).stdout).toStartWith(`nameserver ${dns}\n`);
      expect((await within("first", "ip route")).stdout).toStartWith(
        `default via ${first.replace(/4$/, "2")} dev eth0`,
      );
      if (ownAddress) {
        expect(await within("first", get(ownAddress, server.port!))).toMatchObject({ stdout: "hello from the host\n" });
        const byName = get("host.docker.internal", server.port!);
        expect(await within("first", byName)).toMatchObject({ stdout: "hello from the host\n" });
      }
    });

    test("what the user wrote into hosts stays when members come and go, and their names go with them", async () => {
      await within("first", "echo 192.0.2.7 mine >> /etc/hosts");
      await start("third");
      expect((await within("first", "cat /etc/hosts")).stdout).toMatch(/192\.0\.2\.7 mine\n[\s\S]*third-host third/);
      await host.must("rename", "third", "fourth");
      expect((await within("first", "cat /etc/hosts")).stdout).toMatch(/third-host fourth/);
      await host.must("rm", "-f", "fourth");
      const { stdout } = await within("first", "cat /etc/hosts");
      expect(stdout).toContain("192.0.2.7 mine\n");
      expect(stdout).not.toContain("third");
    });

    test("the host's loopback is out of reach, under every address there is", async () => {
      const gateway = await inspect("first", ".NetworkSettings.Networks.bridge.Gateway");
      const addresses = [
        "127.0.0.1",
        "::1",
        gateway,
        "10.0.2.2",
        gateway.replace(/2$/, "3"),
        gateway.replace(/2$/, "1"),
      ];
      for (const address of addresses) {
        expect((await within("first", get(address, inside.port!))).stdout).toBe("");
      }
    });

    test("nobody can pose as another member", async () => {
      const [first, second] = [await addressOf("first"), await addressOf("second")];
      const third = first.replace(/4$/, "77");
      const script = [
        `ip address add ${third}/24 dev eth0`,
        `arping -c 2 -U -I eth0 -s ${third} ${third}`,
        `arping -c 1 -w 1 -I eth0 -s ${third} ${second}`,
        `ping -c 1 -W 1 -I ${third} ${second}`,
      ];
      const privileged = ["exec", "--privileged", "first", "sh", "-c", `${script.join("; ")}; true`];
      const { stdout } = await host.pod(...privileged);
      expect(stdout).not.toContain("bytes from");
      expect(stdout).not.toContain("Unicast reply");
      expect((await within("second", "cat /proc/net/arp")).stdout).not.toContain(third);
      const another = "ip link set eth0 address 02:42:00:00:00:99; ping -c 1 -W 1 second; ip link set eth0 address";
      const mac = await inspect("first", ".NetworkSettings.Networks.bridge.MacAddress");
      const posing = await host.pod("exec", "--privileged", "first", "sh", "-c", `${another} ${mac}`);
      expect(posing.stdout).not.toContain("bytes from");
    });

    test("slirp4netns is one for all, and another one takes its place when it is killed", async () => {
      const slirps = () => new Set(members("bridge").map(({ slirp }) => slirp.pid));
      const [old, ...others] = slirps();
      expect(others).toEqual([]);
      process.kill(old!, "SIGKILL");
      const deadline = Date.now() + 5000;
      while ((slirps().has(old!) || slirps().size !== 1) && Date.now() < deadline) await Bun.sleep(20);
      expect(slirps().size).toBe(1);
      expect(slirps().has(old!)).toBe(false);
      if (ownAddress) {
        for (const name of ["first", "second"]) {
          expect(await within(name, get(ownAddress, server.port!))).toMatchObject({ stdout: "hello from the host\n" });
        }
      }
    });

    test("where slirp4netns can't be started again the container's state says so, and network reload mends it", async () => {
      const bin = join(host.work, "bin");
      mkdirSync(bin);
      for (const name of ["sh", "newuidmap", "newgidmap", "fuse-overlayfs", "fusermount3", "slirp4netns"]) {
        const path = Bun.which(name, { PATH: "/usr/bin:/bin:/usr/sbin:/sbin" });
        if (path) symlinkSync(path, join(bin, name));
      }
      await host.must("network", "create", "frail");
      const env = { PATH: bin };
      const run = ["run", "-d", "--name", "cut", "--network", "frail", "starter", "sleep", "1000"];
      expect((await host.podWith({ env }, ...run)).code).toBe(0);
      renameSync(join(bin, "slirp4netns"), join(bin, "away"));
      process.kill(members("frail")[0]!.slirp.pid, "SIGKILL");
      const error = () => inspect("cut", ".State.Error");
      for (let i = 0; i < 200 && !(await error()); i++) await Bun.sleep(20);
      expect(await error()).toStartWith("its network is gone: slirp4netns is not installed");
      expect((await host.pod("network", "reload", "cut")).stderr).toContain("slirp4netns is not installed");
      renameSync(join(bin, "away"), join(bin, "slirp4netns"));
      const id = await inspect("cut", ".Id");
      expect(await host.must("network", "reload", "cut")).toBe(id);
      if (ownAddress) {
        expect(await within("cut", get(ownAddress, server.port!))).toMatchObject({ stdout: "hello from the host\n" });
      }
      expect(await error()).toBe("");
      await host.must("rm", "-f", "cut");
      await host.must("network", "rm", "frail");
    });

    test("a member whose monitor is killed is gone for the others, and nothing is left when all have ended", async () => {
      const { monitor } = members("bridge").find(({ names }) => names.includes("first"))!;
      process.kill(monitor.pid, "SIGKILL");
      await host.must("rm", "-f", "first");
      expect((await within("second", "cat /etc/hosts")).stdout).not.toContain("first");
      if (ownAddress) {
        expect(await within("second", get(ownAddress, server.port!))).toMatchObject({
          stdout: "hello from the host\n",
        });
      }
      await host.must("rm", "-f", "second");
      expect(await host.leftoversWithoutImages()).toEqual([]);
    });
  });
});
