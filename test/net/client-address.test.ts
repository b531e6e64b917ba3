import { expect, test } from "bun:test";
import { seenAs, sourceFor } from "../../src/net/client-address.ts";
import { addressBytes, formatAddress, parseAddress, parseSubnet, toAddress } from "../../src/net/subnets.ts";

const bytes = (text: string) => addressBytes(parseAddress(text)!);
const target = {
  address: bytes("10.88.0.4"),
  gateway: bytes("10.88.0.2"),
  near: [parseSubnet("10.88.0.0/24")!, parseSubnet("10.89.0.0/24")!],
};
const source = (client: string, called = "203.0.113.1") => {
  const { address, port } = sourceFor({ address: bytes(client), port: 40000 }, bytes(called), target);
  return `${formatAddress(toAddress(address))}:${port}`;
};

test("who calls from outside is seen with address and port", () => {
  expect(source("192.0.2.77")).toBe("192.0.2.77:40000");
  expect(source("10.87.0.5")).toBe("10.87.0.5:40000");
});

test.each([
  ["the host by its loopback", "127.0.0.1", "127.0.0.1"],
  ["another loopback address", "127.9.9.9", "203.0.113.1"],
  ["the host by an address of its own", "203.0.113.1", "203.0.113.1"],
  ["the container's own address", "10.88.0.4", "203.0.113.1"],
  ["who would be in the container's network", "10.88.0.9", "203.0.113.1"],
  ["who would be in another of its networks", "10.89.0.9", "203.0.113.1"],
  ["link-local", "169.254.1.1", "203.0.113.1"],
  ["multicast", "224.0.0.1", "203.0.113.1"],
  ["nobody", "0.0.0.0", "203.0.113.1"],
  ["the host by IPv6", "::1", "::1"],
  ["IPv6", "2001:db8::77", "2001:db8::1"],
])("%s is the gateway", (_, client, called) => {
  expect(source(client, called)).toBe("10.88.0.2:0");
});

test("what a published port keeps of its callers", () => {
  const at = (hostAddress: string, protocol: "tcp" | "udp" = "tcp") => seenAs({ protocol, hostAddress }, true);
  expect([at("0.0.0.0"), at("192.0.2.1"), at("127.0.0.1"), at("::"), at("::1"), at("0.0.0.0", "udp")]).toEqual([
    "client",
    "client",
    "gateway",
    "gateway",
    "gateway",
    "container",
  ]);
  expect(seenAs({ protocol: "tcp", hostAddress: "0.0.0.0" }, false)).toBe("container");
});
