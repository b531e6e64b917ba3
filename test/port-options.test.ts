import { expect, test } from "bun:test";
import { formatPorts } from "../src/format/ports.ts";
import { findPorts, parseExpose, parsePublish, publishExposed, withoutPorts } from "../src/port-options.ts";

const any = { protocol: "tcp" as const, hostAddress: "" };

test("-p takes Docker's forms", () => {
  expect(parsePublish("80")).toEqual([{ ...any, port: 80, hostPort: 0 }]);
  expect(parsePublish("8080:80")).toEqual([{ ...any, port: 80, hostPort: 8080 }]);
  expect(parsePublish(":80")).toEqual([{ ...any, port: 80, hostPort: 0 }]);
  expect(parsePublish("53:53/UDP")).toEqual([{ ...any, protocol: "udp", port: 53, hostPort: 53 }]);
  expect(parsePublish("127.0.0.1:8080:80")).toEqual([{ ...any, hostAddress: "127.0.0.1", port: 80, hostPort: 8080 }]);
  expect(parsePublish("127.0.0.1::80")).toEqual([{ ...any, hostAddress: "127.0.0.1", port: 80, hostPort: 0 }]);
  expect(parsePublish("[::1]:8080:80")).toEqual([{ ...any, hostAddress: "::1", port: 80, hostPort: 8080 }]);
  expect(parsePublish("8000-8001:80-81")).toEqual([
    { ...any, port: 80, hostPort: 8000 },
    { ...any, port: 81, hostPort: 8001 },
  ]);
  expect(parsePublish("80-81").map(({ port, hostPort }) => [port, hostPort])).toEqual([
    [80, 0],
    [81, 0],
  ]);
  expect(parsePublish("80/")).toEqual(parsePublish("80/tcp"));
  expect(parsePublish("published=8080,target=80")).toEqual(parsePublish("8080:80"));
  expect(parsePublish("target=53,protocol=udp")).toEqual(parsePublish("53/udp"));
  expect(parsePublish("8000-8010:80")).toEqual([{ ...any, port: 80, hostPort: 8000, hostPortEnd: 8010 }]);
});

test.each([
  ["", "no port specified: <empty>"],
  ["8080:", "no port specified: 8080:<empty>"],
  ["x", "invalid containerPort: x"],
  ["0", "invalid containerPort: 0"],
  ["65536", "invalid containerPort: 65536"],
  ["x:80", "invalid hostPort: x"],
  ["81-80", "invalid containerPort: 81-80"],
  ["8000-8002:80-81", "invalid ranges specified for container and host Ports: 80-81 and 8000-8002"],
  ["80/icmp", "invalid proto: icmp"],
  ["80/tcp/udp", "invalid proto: tcp/udp"],
  ["80/sctp", "sctp is not supported"],
  ["web:80:80", "invalid IP address: web"],
  ["[::1:80:80", "invalid IP address: [::1"],
  ["127.0.0.1:80", "invalid hostPort: 127.0.0.1"],
  ["published=8080,80", "invalid publish opts format (should be name=value but got '80')"],
  ["target=80,host=127.0.0.1", "published, target and protocol are known, not host"],
  ["published=8080", "no port specified: "],
])("-p %p is refused", (text, message) => {
  expect(() => parsePublish(text)).toThrow(message);
});

test("--expose and -P", () => {
  expect(parseExpose("80")).toEqual(["80/tcp"]);
  expect(parseExpose("80-81/udp")).toEqual(["80/udp", "81/udp"]);
  expect(() => parseExpose("8080:80")).toThrow("invalid range format for --expose: 8080:80");
  expect(publishExposed(["80/tcp", "53/udp"], parsePublish("8080:80"))).toEqual(parsePublish("53/udp"));
});

test("--publish-rm goes by the container's port, and by the host's where it is given", () => {
  const bindings = ["8080:80", "127.0.0.1:8081:80", "53:53/udp", "53:53"].flatMap(parsePublish);
  const kept = (...wanted: string[]) => {
    const rest = withoutPorts(bindings, findPorts(bindings, wanted.flatMap(parsePublish), "web"));
    return rest.map(({ hostPort, protocol }) => `${hostPort}/${protocol}`);
  };
  expect(kept("80")).toEqual(["53/udp", "53/tcp"]);
  expect(kept("8080:80")).toEqual(["8081/tcp", "53/udp", "53/tcp"]);
  expect(kept("127.0.0.1::80", "53/udp")).toEqual(["8080/tcp", "53/tcp"]);
  expect(() => kept("81")).toThrow("no public port '81/tcp' published for web");
  expect(() => kept("8082:80")).toThrow("no public port '80/tcp' published for web at 8082");
});

test("many ports are shown without delay", () => {
  const ports = parsePublish("10000-19999:20000-29999").map((port) => ({ ...port, hostAddress: "0.0.0.0" }));
  const before = performance.now();
  expect(
    formatPorts(
      ports.map(({ port }) => `${port}/tcp`),
      ports,
    ),
  ).toBe("0.0.0.0:10000-19999->20000-29999/tcp");
  expect(performance.now() - before).toBeLessThan(2000);
});

test("ps shows published ports first by number, neighbours as one", () => {
  const on = (hostAddress: string, hostPort: number, port: number) => ({
    hostAddress,
    hostPort,
    port,
    protocol: "tcp" as const,
  });
  expect(formatPorts(["443/tcp"])).toBe("443/tcp");
  expect(formatPorts(["80/tcp", "443/tcp"], [on("0.0.0.0", 8080, 80), on("::", 8080, 80)])).toBe(
    "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp",
  );
  expect(formatPorts([], [on("0.0.0.0", 8000, 80), on("0.0.0.0", 8001, 81)])).toBe("0.0.0.0:8000-8001->80-81/tcp");
});
