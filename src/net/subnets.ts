/** IP addresses and subnets as numbers: RFC 4632, RFC 4291, RFC 5952. */

import { UsageError } from "../errors.ts";

export interface Address {
  /** 4 or 6. */
  version: 4 | 6;
  value: bigint;
}

export interface Subnet extends Address {
  /** How many of the leading bits name the network; the others of `value` are 0. */
  prefix: number;
}

export const bitsOf = (version: 4 | 6): number => (version === 4 ? 32 : 128);

/** Undefined where the text is no address. */
export function parseAddress(text: string): Address | undefined {
  return text.includes(":") ? parseV6(text) : parseV4(text);
}

function parseV4(text: string): Address | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return { version: 4, value: BigInt(parts.reduce((sum, part) => sum * 256 + Number(part), 0)) };
}

function parseV6(text: string): Address | undefined {
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const last = tail && parseV4(tail[2]!);
  if (tail && !last) return undefined;
  const whole = tail ? `${tail[1]}${(last!.value >> 16n).toString(16)}:${(last!.value & 0xffffn).toString(16)}` : text;
  const halves = whole.split("::");
  if (halves.length > 2) return undefined;
  const [head, rest] = halves.map((half) => (half ? half.split(":") : [])) as [string[], string[] | undefined];
  const gap = 8 - head.length - (rest?.length ?? 0);
  if (rest ? gap < 1 : gap !== 0) return undefined;
  const groups = [...head, ...(rest ? Array<string>(gap).fill("0") : []), ...(rest ?? [])];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return { version: 6, value: groups.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n) };
}

export function formatAddress({ version, value }: Address): string {
  if (version === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - index * 16)) & 0xffffn).toString(16));
  const zeros = [...groups.join(":").matchAll(/\b0(:0)+\b/g)].map(([run]) => run);
  const longest = zeros.toSorted((a, b) => b.length - a.length)[0];
  if (!longest) return groups.join(":");
  const text = groups.join(":");
  const at = text.search(new RegExp(`(^|:)${longest}(:|$)`));
  const before = text.slice(0, at).replace(/:$/, "");
  const after = text.slice(at + longest.length + (at === 0 ? 0 : 1)).replace(/^:/, "");
  return `${before}::${after}`;
}

/** In network byte order. */
export function addressBytes({ version, value }: Address): Buffer {
  return Buffer.from(value.toString(16).padStart(bitsOf(version) / 4, "0"), "hex");
}

/** Four bytes, or sixteen, in network byte order. */
export function toAddress(bytes: Uint8Array): Address {
  return { version: bytes.length === 4 ? 4 : 6, value: BigInt(`0x${Buffer.from(bytes).toString("hex")}`) };
}

/** `10.89.0.0/24`. Undefined where it is none; bits behind the prefix are cut off. */
export function parseSubnet(text: string): Subnet | undefined {
  const [base, length, ...rest] = text.split("/");
  const address = parseAddress(base!);
  if (!address || !length || rest.length || !/^\d{1,3}$/.test(length)) return undefined;
  const prefix = Number(length);
  return prefix > bitsOf(address.version) ? undefined : toSubnet(address, prefix);
}

export function toSubnet({ version, value }: Address, prefix: number): Subnet {
  const hostBits = BigInt(bitsOf(version) - prefix);
  return { version, prefix, value: (value >> hostBits) << hostBits };
}

export function formatSubnet(subnet: Subnet): string {
  return `${formatAddress(subnet)}/${subnet.prefix}`;
}

export function contains(subnet: Subnet, { version, value }: Address): boolean {
  const hostBits = BigInt(bitsOf(subnet.version) - subnet.prefix);
  return subnet.version === version && value >> hostBits === subnet.value >> hostBits;
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.prefix < b.prefix ? contains(a, b) : contains(b, a);
}

/** How many addresses there are, the network's own and the broadcast address counted. */
export function sizeOf({ version, prefix }: Subnet): bigint {
  return 1n << BigInt(bitsOf(version) - prefix);
}

/** The address that comes so many after the subnet's own: 1 is the first host. */
export function nth(subnet: Subnet, offset: bigint): Address {
  return { version: subnet.version, value: subnet.value + offset };
}

/** podman's pools of subnets for new networks, and Docker's where a VPN has all of 10.0.0.0/8; /24 of them. */
export const pools: Subnet[] = ["10.88.0.0/13", "172.16.0.0/12", "192.168.0.0/16"].map((text) => parseSubnet(text)!);

/** The first /24 of the pools that touches none of `taken`. Throws UsageError with Docker's text where there is none. */
export function freeSubnet(taken: Subnet[]): Subnet {
  for (const pool of pools) {
    for (let value = pool.value; value < pool.value + sizeOf(pool); value += 256n) {
      const candidate: Subnet = { version: 4, value, prefix: 24 };
      if (!taken.some((other) => other.version === 4 && overlap(other, candidate))) return candidate;
    }
  }
  throw new UsageError(
    "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
  );
}

/** A /64 of the addresses that are for whoever takes them at random: RFC 4193, section 3.2. */
export function freeSubnet6(taken: Subnet[]): Subnet {
  for (;;) {
    const random = Buffer.from(crypto.getRandomValues(new Uint8Array(7))); // the global id and the subnet id
    const candidate: Subnet = { version: 6, value: BigInt(`0xfd${random.toString("hex")}`) << 64n, prefix: 64 };
    if (!taken.some((other) => other.version === 6 && overlap(other, candidate))) return candidate;
  }
}
