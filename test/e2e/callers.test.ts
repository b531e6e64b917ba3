/** Whom a container sees at its published ports: callers from outside, in a network of the test's own. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { newHost, requires } from "./harness.ts";
import { hostAddresses, neighbourAddresses, Outside } from "./neighbour.ts";

setDefaultTimeout(60_000);

requires("/dev/net/tun").describe("who calls a published port", () => {
  let outside: Outside;
  let close: () => Promise<void>;

  beforeAll(async () => {
    const host = await newHost();
    outside = await Outside.open(host);
    close = async () => {
      await outside.must("rm", "-f", "bridged", "own");
      await outside.close();
      await host.close();
    };
    await serve("bridged", "8080");
    await serve("own", "8081", "--network", "slirp4netns");
  });
  afterAll(() => close());

  /** Tells everybody who they seem to be: `192.0.2.77:40000`. Nothing listens on port 81. */
  const serve = async (name: string, port: string, ...options: string[]) => {
    const who = "#!/bin/sh\nprintf '\\r\\n'; echo $REMOTE_ADDR:$REMOTE_PORT";
    const files = `mkdir -p /www/cgi-bin; printf '%b' "$WHO" > /www/cgi-bin/who; chmod +x /www/cgi-bin/who`;
    const script = `${files}; exec busybox httpd -f -p 0.0.0.0:80 -h /www`;
    const ports = ["-p", `${port}:80`, "-p", `1${port}:81`, "-p", `${port}:80/udp`];
    await outside.must(
      "run",
      "-d",
      "--name",
      name,
      ...options,
      ...ports,
      "-e",
      `WHO=${who}`,
      "starter",
      "sh",
      "-c",
      script,
    );
    await outside.onHost(
      `for i in {1..100}; do [ -z "$(${call("127.0.0.1", port)})" ] || exit 0; sleep 0.05; done; exit 1`,
    );
  };
  const call = (address: string, port: string) =>
    `printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 5 ${address} ${port} | tail -n 1`;

  for (const [name, port, gateway] of [
    ["bridged", "8080", /^10\.\d+\.\d+\.2:\d+$/],
    ["own", "8081", /^10\.0\.2\.2:\d+$/],
  ] as const) {
    test(`${name}: a caller from outside is seen with its own address and port`, async () => {
      const range = "/proc/sys/net/ipv4/ip_local_port_range";
      const script = `echo 43210 43210 > ${range}; ${call(hostAddresses.v4, port)}; echo 32768 60999 > ${range}`;
      expect(await outside.fromNeighbour(script)).toBe(`${neighbourAddresses.v4}:43210`);
      expect(await outside.fromNeighbour(call(hostAddresses.v4, port))).toStartWith(`${neighbourAddresses.v4}:`);
    });

    test(`${name}: the host, and who has no address of the container's kind, is the gateway, never 127.0.0.1`, async () => {
      expect(await outside.onHost(call("127.0.0.1", port))).toMatch(gateway);
      expect(await outside.onHost(call(hostAddresses.v4, port))).toMatch(gateway);
      expect(await outside.onHost(call("::1", port))).toMatch(gateway);
      expect(await outside.fromNeighbour(call(hostAddresses.v6, port))).toMatch(gateway);
    });

    test(`${name}: where nobody listens the caller hears of it at once`, async () => {
      expect(await outside.fromNeighbour(`SECONDS=0; ${call(hostAddresses.v4, `1${port}`)}; echo $SECONDS`)).toMatch(
        /^[01]$/,
      );
    });
  }

  test("a port below 1024 is refused with the sysctl that allows it", async () => {
    const { code, stderr } = await outside.pod("run", "--rm", "-p", "80:80", "starter", "true");
    expect(code).toBe(125);
    expect(stderr).toContain("Bind for 0.0.0.0:80 failed: bind 0.0.0.0:80: permission denied (EACCES)\n");
    expect(stderr).toContain("sudo sysctl net.ipv4.ip_unprivileged_port_start=80");
  });

  test("port --source says who is seen", async () => {
    expect(await outside.must("port", "--source", "bridged", "80")).toBe("0.0.0.0:8080 client\n[::]:8080 gateway");
    expect(await outside.must("port", "--source", "bridged")).toContain("80/udp -> 0.0.0.0:8080 container\n");
    expect(await outside.must("port", "bridged", "80")).toBe("0.0.0.0:8080\n[::]:8080");
  });
});
