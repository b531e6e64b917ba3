import { expect, test } from "bun:test";
import { type NetworkingOptions, toNetworking } from "../src/network-options.ts";

const none = { aliases: [], dns: [], dnsSearch: [], dnsOptions: [] };
const networking = (networks: string[], given: Partial<NetworkingOptions> = {}) =>
  toNetworking({ networks, ...none, ...given });

test("the default network is bridge", () => {
  const bridge = { mode: "bridge", allowHostLoopback: false, endpoints: [{ network: "bridge", aliases: [] }] };
  expect(networking([])).toEqual(bridge as never);
  expect(networking(["bridge"])).toEqual(bridge as never);
  expect(networking(["default"])).toEqual(bridge as never);
});

test("podman's and Docker's ways to say who the container is in a network", () => {
  const endpoint = { network: "n", address: "10.0.0.7", mac: "02:00:00:00:00:07", aliases: ["db", "sql"] };
  const expected = { mode: "bridge", allowHostLoopback: false, endpoints: [endpoint] };
  expect(networking(["n:ip=10.0.0.7,mac=02:00:00:00:00:07,alias=db,alias=sql"])).toEqual(expected as never);
  expect(networking(["name=n,ip=10.0.0.7,mac-address=02-00-00-00-00-07,alias=db,alias=sql"])).toEqual(
    expected as never,
  );
  const options = { ip: "10.0.0.7", mac: "02:00:00:00:00:07", aliases: ["db", "sql"] };
  expect(networking(["n"], options)).toEqual(expected as never);
  expect(networking(["n", "m"], options).endpoints).toEqual([endpoint, { network: "m", aliases: [] }]);
});

test("no line of resolv.conf can be slipped in", () => {
  expect(() => networking([], { dnsSearch: ["a\nb"] })).toThrow('"a\\nb" is not a valid domain');
  expect(() => networking([], { dnsOptions: ["a\nb"] })).toThrow('invalid DNS option: "a\\nb"');
});

test("modes are alone", () => {
  expect(networking(["none"])).toEqual({ mode: "none", allowHostLoopback: false });
  expect(networking(["slirp4netns:allow_host_loopback=true"])).toEqual({
    mode: "slirp4netns",
    allowHostLoopback: true,
  });
  expect(networking(["container:web"])).toEqual({ mode: "container", allowHostLoopback: false, container: "web" });
  expect(() => networking(["none", "n"])).toThrow("cannot attach both user-defined and non-user-defined network-modes");
  expect(() => networking(["host"], { ip: "10.0.0.7" })).toThrow("conflicting options");
});

test("slirp4netns's and pasta's options, as podman words them", () => {
  const words = "mtu=1500,cidr=10.9.0.0/24,enable_ipv6=true,outbound_addr=192.0.2.1,outbound_addr6=2001:db8::1";
  const own = {
    mtuBytes: 1500,
    subnet: "10.9.0.0/24",
    ipv6: true,
    outbound: "192.0.2.1",
    outbound6: "2001:db8::1",
  };
  expect(networking([`slirp4netns:${words}`])).toEqual({ mode: "slirp4netns", allowHostLoopback: false, own });
  expect(networking(["pasta"])).toEqual({ mode: "pasta", allowHostLoopback: false });
  expect(networking(["pasta:--map-gw,-4,--mtu,1400,--outbound=192.0.2.1,-I,net0"])).toEqual({
    mode: "pasta",
    allowHostLoopback: true,
    own: { ipv6: false, mtuBytes: 1400, outbound: "192.0.2.1", interface: "net0" },
  });
});

test("an address of IPv6 is kept in its shortest form", () => {
  const endpoint = { network: "n", address6: "2001:db8::7", aliases: [] };
  expect(networking(["n:ip6=2001:DB8:0::7"]).endpoints).toEqual([endpoint]);
  expect(networking(["n"], { ip6: "2001:db8:0:0::7" }).endpoints).toEqual([endpoint]);
});

test("resolvers are kept where they are given", () => {
  const dns = { servers: ["1.1.1.1"], search: ["example.org"], options: ["ndots:2"] };
  const given = { dns: dns.servers, dnsSearch: dns.search, dnsOptions: dns.options };
  expect(networking([], given).dns).toEqual(dns);
  expect(networking([]).dns).toBeUndefined();
});

test.each([
  [["slirp4netns:port_handler=x"], {}, "unknown option of slirp4netns: port_handler=x"],
  [["slirp4netns:port_handler=rootlesskit"], {}, "unknown option of slirp4netns: port_handler=rootlesskit"],
  [["slirp4netns:mtu=99"], {}, "invalid mtu 99"],
  [["slirp4netns:cidr=10.0.0.0/26"], {}, "invalid cidr 10.0.0.0/26: the prefix must be 8 to 25"],
  [["slirp4netns:cidr=fd00::/64"], {}, "invalid CIDR address: fd00::/64"],
  [["slirp4netns:enable_ipv6=yes"], {}, "unknown option of slirp4netns: enable_ipv6=yes"],
  [["slirp4netns:enable_ipv6=true,mtu=600"], {}, "with IPv6 it must be at least 1280"],
  [["slirp4netns:enable_ipv6=false,outbound_addr6=::1"], {}, "an outbound address of IPv6, and no IPv6"],
  [["slirp4netns:outbound_addr=eth0"], {}, "invalid outbound_addr, an IPv4 address: eth0"],
  [["pasta:-t,8080"], {}, "unknown option of pasta: -t"],
  [["pasta:--mtu"], {}, "option of pasta needs a value: --mtu"],
  [["pasta:-I,../x"], {}, 'invalid interface name: "../x"'],
  [["n"], { ip6: "10.0.0.1" }, "invalid IPv6 address: 10.0.0.1"],
  [["pasta"], { ip6: "2001:db8::1" }, "conflicting options"],
  [["none:x"], {}, "network none:x is not supported"],
  [["n", "n"], {}, 'network "n" is specified multiple times'],
  [["n:ip"], {}, "invalid field ip: must be a key=value pair"],
  [["n:color=red"], {}, "invalid field key color"],
  [["bridge:allow_host_loopback=true"], {}, "invalid field key allow_host_loopback"],
  [["ip=10.0.0.1"], {}, "network name/id is not specified"],
  [["../n"], {}, "network ../n not found"],
  [["n:ip=10.0.0.256"], {}, "invalid IPv4 address: 10.0.0.256"],
  [["n"], { mac: "02:00" }, "invalid MAC address: 02:00"],
  [["n"], { mac: "03:00:00:00:00:01" }, "is a multicast address"],
  [["n"], { aliases: ["a b"] }, 'invalid network alias: "a b"'],
  [["n"], { dns: ["resolver"] }, "invalid IP address: resolver"],
] satisfies [string[], Partial<NetworkingOptions>, string][])("%p with %p is refused", (networks, given, text) => {
  expect(() => networking(networks, given)).toThrow(text);
});
