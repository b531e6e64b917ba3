import { expect, test } from "bun:test";
import { guardMessages } from "../../src/net/guard.ts";
import {
  encodeAttributes,
  encodeMessage,
  NLM_F_REQUEST,
  parseAttributes,
  parseMessages,
  u16,
} from "../../src/net/netlink.ts";
import { parseAddress } from "../../src/net/subnets.ts";

test("a message is what netlink(7) says: a header, the struct, attributes at multiples of four bytes", () => {
  const message = encodeMessage({ type: 16, flags: NLM_F_REQUEST, sequence: 7 }, Buffer.alloc(2), [[3, "lo"]]);
  expect(message.toString("hex")).toBe(
    ["1c000000", "1000", "0100", "07000000", "00000000", "00000000", "07000300", "6c6f0000"].join(""),
  );
});

test("what was encoded is parsed: several messages of one datagram, attributes within attributes", () => {
  const nested = encodeMessage({ type: 20, flags: 0, sequence: 2 }, Buffer.alloc(4), [
    [1, u16(5)],
    [18, [[1, "veth"]]],
  ]);
  const [first, second, ...rest] = parseMessages(
    Buffer.concat([encodeMessage({ type: 19, flags: 1, sequence: 1 }, Buffer.alloc(1)), nested]),
  );
  expect(rest).toEqual([]);
  expect([first!.type, first!.sequence, second!.type, second!.sequence]).toEqual([19, 1, 20, 2]);
  const attributes = parseAttributes(second!.payload.subarray(4));
  expect(attributes.get(1)).toEqual(u16(5));
  expect(parseAttributes(attributes.get(18)!).get(1)!.toString()).toBe("veth\0");
});

test("bytes that are cut off are an error, and attributes that are end the list", () => {
  const message = encodeMessage({ type: 16, flags: 0, sequence: 1 }, Buffer.alloc(16));
  expect(() => parseMessages(message.subarray(0, 20))).toThrow("a netlink message of 32 bytes");
  expect(parseAttributes(encodeAttributes([[1, "abcdef"]]).subarray(0, 8)).size).toBe(0);
});

test("a guard is one batch, of which the last change alone is acknowledged", () => {
  const hardware = Buffer.from("0242ac110002", "hex");
  const port = { name: "v1", hardware, addresses: [parseAddress("10.88.0.4")!] };
  const messages = parseMessages(Buffer.concat(guardMessages(port, 10)));
  expect(messages.map(({ sequence }) => sequence)).toEqual(messages.map((_, index) => 10 + index));
  expect([messages[0]!.type, messages.at(-1)!.type]).toEqual([16, 17]); // NFNL_MSG_BATCH_BEGIN, _END
  const acknowledged = messages.flatMap(({ flags }, index) => (flags & 4 ? [index] : []));
  expect(acknowledged).toEqual([messages.length - 2]);
});

test("a guard's rules are appended: the kernel puts others before those that are there", () => {
  const port = { name: "v1", hardware: Buffer.from("0242ac110002", "hex"), addresses: [parseAddress("10.88.0.4")!] };
  const rules = parseMessages(Buffer.concat(guardMessages(port, 1))).filter(({ type }) => (type & 0xff) === 6); // NFT_MSG_NEWRULE
  expect(rules.map(({ flags }) => flags & 0x800)).toEqual([0x800, 0x800, 0x800]); // NLM_F_APPEND
});

test("a guard has rules for IPv6 only where its member has such an address", () => {
  const hardware = Buffer.from("0242ac110002", "hex");
  const newRule = (10 << 8) | 6; // NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWRULE
  const rules = (...texts: string[]) => {
    const port = { name: "v1", hardware, addresses: texts.map((text) => parseAddress(text)!) };
    return parseMessages(Buffer.concat(guardMessages(port, 1))).filter(({ type }) => type === newRule).length;
  };
  expect(rules("10.88.0.4")).toBe(3);
  expect(rules("10.88.0.4", "fd00::4")).toBe(13);
});
