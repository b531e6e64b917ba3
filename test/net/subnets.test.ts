import { expect, test } from "bun:test";
import {
  addressBytes,
  contains,
  formatAddress,
  formatSubnet,
  freeSubnet,
  freeSubnet6,
  nth,
  overlap,
  parseAddress,
  parseSubnet,
  sizeOf,
} from "../../src/net/subnets.ts";

const subnet = (text: string) => parseSubnet(text)!;
const address = (text: string) => parseAddress(text)!;

test.each([
  ["0.0.0.0", "0.0.0.0"],
  ["255.255.255.255", "255.255.255.255"],
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["fd00:0:0:0:0:0:0:2", "fd00::2"],
  ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"], // RFC 5952: of two equal runs the first
  ["2001:db8:0:0:1:0:0:0", "2001:db8:0:0:1::"], // else the longer one
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"], // a single zero stays
  ["1:0:0:2:10:0:0:30", "1::2:10:0:0:30"],
  ["10:0:0:0:5:0:0:0", "10::5:0:0:0"],
  ["::ffff:10.0.2.3", "::ffff:a00:203"],
])("the address %s is written %s", (given, written) => {
  expect(formatAddress(address(given))).toBe(written);
});

test.each([
  "",
  "1.2.3",
  "1.2.3.256",
  "01.2.3.4",
  "1.2.3.4.5",
  ":",
  ":::",
  "1::2::3",
  "1:2:3:4:5:6:7",
  "g::",
  "12345::",
])("%p is no address", (text) => expect(parseAddress(text)).toBeUndefined());

test("a subnet's text is cut to its prefix", () => {
  expect(formatSubnet(subnet("10.88.1.77/24"))).toBe("10.88.1.0/24");
  expect(formatSubnet(subnet("fd00::1:2/64"))).toBe("fd00::/64");
  expect(formatSubnet(subnet("1.2.3.4/0"))).toBe("0.0.0.0/0");
});

test.each(["10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/24/1", "10.0.0.0/x", "/24"])(
  "%p is no subnet",
  (text) => {
    expect(parseSubnet(text)).toBeUndefined();
  },
);

test("which addresses and subnets a subnet holds", () => {
  expect(contains(subnet("10.88.0.0/25"), address("10.88.0.127"))).toBe(true);
  expect(contains(subnet("10.88.0.0/25"), address("10.88.0.128"))).toBe(false);
  expect(contains(subnet("::/0"), address("10.88.0.1"))).toBe(false);
  expect(overlap(subnet("10.0.0.0/8"), subnet("10.88.0.0/24"))).toBe(true);
  expect(overlap(subnet("10.88.0.0/24"), subnet("10.0.0.0/8"))).toBe(true);
  expect(overlap(subnet("10.88.0.0/24"), subnet("10.88.1.0/24"))).toBe(false);
  expect(sizeOf(subnet("10.88.0.0/24"))).toBe(256n);
  expect(formatAddress(nth(subnet("10.88.0.0/24"), 2n))).toBe("10.88.0.2");
  expect(addressBytes(address("fd00::2")).toString("hex")).toBe(`fd00${"0".repeat(27)}2`);
});

test("a free subnet is the first that nobody has", () => {
  expect(formatSubnet(freeSubnet([]))).toBe("10.88.0.0/24");
  expect(formatSubnet(freeSubnet([subnet("10.88.0.0/24"), subnet("fd00::/64")]))).toBe("10.88.1.0/24");
  expect(formatSubnet(freeSubnet([subnet("10.88.0.0/16"), subnet("10.89.0.128/25")]))).toBe("10.89.1.0/24");
});

test("where a VPN has all of 10.0.0.0/8 there are Docker's pools", () => {
  const taken = [subnet("10.0.0.0/8"), subnet("172.16.0.0/16")];
  expect(formatSubnet(freeSubnet(taken))).toBe("172.17.0.0/24");
  expect(formatSubnet(freeSubnet([...taken, subnet("172.16.0.0/12")]))).toBe("192.168.0.0/24");
});

test("where all are taken it says so in Docker's words", () => {
  const all = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(subnet);
  expect(() => freeSubnet(all)).toThrow("could not find an available, non-overlapping IPv4 address");
});

test("a subnet of IPv6 of one's own is a random /64 of fd00::/8", () => {
  const [first, second] = [freeSubnet6([]), freeSubnet6([])];
  expect(formatSubnet(first)).toMatch(/^fd[0-9a-f:]+::\/64$/);
  expect(overlap(first, second)).toBe(false);
});
