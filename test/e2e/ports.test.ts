/** Published ports, with a real server in the container and clients on the host. */

import { beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { onBothDrivers, requires } from "./harness.ts";

requires("/dev/net/tun").describe("with a way out", () => {
  onBothDrivers("published ports", (host) => {
    beforeAll(async () => {
      await host.must("pull", "--quiet", "starter");
      await serve("web", "page of web", "-p", "127.0.0.1::80", "-p", "5353/udp", "--expose", "443");
    });

    const serve = async (name: string, text: string, ...options: string[]) => {
      const script = `mkdir /www; echo ${text} > /www/index.html; exec busybox httpd -f -p 80 -h /www`;
      await host.must("run", "-d", "--name", name, ...options, "starter", "sh", "-c", script);
    };
    const get = async (address: string) => {
      for (let attempt = 0; ; attempt++) {
        try {
          return await (
            await fetch(`http://${address}${address.includes("/") ? "" : "/"}`, { keepalive: false })
          ).text();
        } catch (error) {
          if (attempt === 50) throw error;
          await Bun.sleep(20); // the server may not listen yet
        }
      }
    };
    const portOf = async (name: string, port: string) => (await host.must("port", name, port)).split("\n");

    test("a server is reached at the port that was chosen, and port, ps and inspect say where", async () => {
      const [address, ...others] = await portOf("web", "80");
      expect(others).toEqual([]);
      expect(address).toMatch(/^127\.0\.0\.1:\d+$/);
      expect(await get(address!)).toBe("page of web\n");
      const udp = await portOf("web", "5353/udp");
      expect(udp[0]).toMatch(/^0\.0\.0\.0:\d+$/);
      expect(await host.must("ps", "--format", "{{.Ports}}")).toContain(
        `${address}->80/tcp, 443/tcp, ${udp[0]}->5353/udp`,
      );
      expect(await host.must("ps", "-q", "--filter", `publish=${address!.split(":")[1]}`)).toBe("");
      for (const port of ["80", "80/tcp", "70-90", "5353/udp"]) {
        expect(await host.must("ps", "-q", "--filter", `publish=${port}`)).not.toBe("");
      }
      const shown = JSON.parse(await host.must("inspect", "-f", "{{json .NetworkSettings.Ports}}", "web"));
      expect(shown["80/tcp"]).toEqual([{ HostIp: "127.0.0.1", HostPort: address!.split(":")[1] }]);
      expect(shown["443/tcp"]).toBeNull();
      expect((await host.pod("port", "web", "443")).stderr).toContain("no public port '443/tcp' published for web");
    });

    test("published without an address it is reached by IPv4 and IPv6 alike", async () => {
      await serve("all", "everywhere", "-p", "80");
      const [v4, v6] = await portOf("all", "80");
      expect(await get(v4!.replace("0.0.0.0", "127.0.0.1"))).toBe("everywhere\n");
      if (v6) expect(await get(v6.replace("[::]", "[::1]"))).toBe("everywhere\n");
    });

    test("a port that is taken is refused, with its owner's name", async () => {
      const port = (await portOf("web", "80"))[0]!.split(":")[1]!;
      const taken = await host.pod("run", "--name", "other", "-p", `127.0.0.1:${port}:80`, "starter", "true");
      expect(taken.code).toBe(125);
      expect(taken.stderr).toContain(
        `Bind for 127.0.0.1:${port} failed: port is already allocated\nhint: container web has it`,
      );
      await host.must("rm", "other");
    });

    test("a port is added to a running container and removed, while a connection by another one goes on", async () => {
      const [address] = await portOf("web", "80");
      const [hostname, port] = address!.split(":") as [string, string];
      const forwarders = () => host.processes().filter((pid) => comm(pid) === "pod ports");
      const before = forwarders();
      const { promise: answer, resolve } = Promise.withResolvers<string>();
      const data = (_: unknown, bytes: Buffer) => resolve(bytes.toString());
      const open = await Bun.connect({ hostname, port: Number(port), socket: { data } });
      expect(await host.must("update", "--publish-add", "127.0.0.1::80", "web")).toBe("web");
      const added = (await portOf("web", "80")).find((each) => each !== address)!;
      expect(await get(added)).toBe("page of web\n");
      expect(await host.must("ps", "--format", "{{.Ports}}")).toContain(`${added}->80/tcp`);
      const taken = await host.pod("update", "--publish-rm", "5353/udp", "--publish-add", `${added}:81`, "web");
      expect(taken.code).toBe(1);
      expect(taken.stderr).toContain(`Bind for ${added} failed: port is already allocated\nhint: container web has it`);
      expect(await portOf("web", "5353/udp")).not.toEqual([]); // all is as it was
      await host.must("update", "--publish-rm", "5353/udp", "web");
      expect((await host.pod("port", "web", "5353/udp")).code).toBe(1);
      open.write("GET / HTTP/1.0\r\n\r\n");
      expect(await answer).toContain("200 OK");
      expect(forwarders()).toEqual(before);
      await host.must("update", "--publish-add", "5353/udp", "web");
    });

    test("what is published with update is so at the next start too; a removed port's connections end", async () => {
      await host.must("create", "--name", "later", "starter", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc");
      await host.must("update", "--publish-add", "127.0.0.1::80", "later");
      await host.must("start", "later");
      const [address] = await portOf("later", "80");
      expect(await get(`${address}/passwd`)).toContain("root");
      const [hostname, port] = address!.split(":") as [string, string];
      const { promise: closed, resolve } = Promise.withResolvers<void>();
      await Bun.connect({ hostname, port: Number(port), socket: { data() {}, close: () => resolve() } });
      await host.must("update", "--publish-rm", "80", "later");
      await closed;
      expect(await fetch(`http://${address}/`).catch(() => "refused")).toBe("refused");
      expect(await host.must("ps", "--filter", "name=later", "--format", "{{.Ports}}")).toBe("");
      const refused = await host.pod("update", "--publish-rm", "80", "later");
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("no public port '80/tcp' published") });
      await host.must("rm", "-f", "later");
      const none = await host.must("create", "--network", "none", "starter", "true");
      const unable = await host.pod("update", "--publish-add", "80", none);
      expect(unable.stderr).toContain("a container with --network none has no ports to publish");
      await host.must("rm", none);
    });

    test("ports that are added at the same time are all kept", async () => {
      const id = await host.must("create", "--name", "many", "starter", "true");
      const ports = Array.from({ length: 6 }, (_, index) => String(8000 + index));
      await Promise.all(ports.map((port) => host.must("update", "--publish-add", port, "many")));
      const bindings = await host.must("inspect", "-f", "{{json .HostConfig.PortBindings}}", id);
      expect(Object.keys(JSON.parse(bindings))).toEqual(ports.map((port) => `${port}/tcp`));
      await host.must("rm", "many");
    });

    test("the forwarder is replaced when it is killed, and follows the container to another network", async () => {
      const [address] = await portOf("web", "80");
      const forwarders = host.processes().filter((pid) => comm(pid) === "pod ports");
      for (const pid of forwarders) process.kill(pid, "SIGKILL");
      expect(await get(address!)).toBe("page of web\n");
      await host.must("network", "create", "aside");
      const replaced = host.processes().filter((pid) => comm(pid) === "pod ports");
      await host.must("network", "connect", "aside", "web"); // connections go on
      expect(host.processes().filter((pid) => comm(pid) === "pod ports")).toEqual(replaced);
      await host.must("network", "disconnect", "bridge", "web");
      expect(await get(address!)).toBe("page of web\n");
    });

    test("it works with a slirp4netns of the container's own too, and all of it ends with the container", async () => {
      await serve("other", "own", "--network", "slirp4netns", "-p", "127.0.0.1::80");
      const [address] = await portOf("other", "80");
      expect(await get(address!)).toBe("own\n");
      await host.must("rm", "-f", "other", "web", "all");
      const [hostname, port] = address!.split(":");
      expect(
        await Bun.connect({ hostname: hostname!, port: Number(port), socket: { data() {} } }).catch(() => "closed"),
      ).toBe("closed");
      expect(await host.must("ps", "-aq")).toBe("");
    });
  });
});

function comm(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}
