/** Small archives for the tests: a tar writer that also writes what no honest program would. */

export interface Member {
  name: string;
  /** Type flag; a regular file if none. */
  type?: string;
  content?: string | Uint8Array;
  linkName?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  major?: number;
  minor?: number;
  /** Records of a pax header before it; values may be bytes. */
  pax?: Record<string, string | Uint8Array>;
  /** The size that the header claims, if it is not the content's. */
  claimedSize?: number;
}

export const file = (name: string, content = "", more: Partial<Member> = {}): Member => ({ name, content, ...more });
export const folder = (name: string, more: Partial<Member> = {}): Member => ({
  name: `${name}/`,
  type: "5",
  mode: 0o755,
  ...more,
});
export const symlink = (name: string, linkName: string): Member => ({ name, type: "2", linkName });
export const hardLink = (name: string, linkName: string): Member => ({ name, type: "1", linkName });

/** A whole archive in the ustar format. */
export function tar(...members: Member[]): Buffer {
  return Buffer.concat([...members.map(toBlocks), Buffer.alloc(1024)]);
}

export function toBlocks(member: Member): Buffer {
  const content = Buffer.from(member.content ?? "");
  const pax = member.pax ? toBlocks({ name: "pax", type: "x", content: paxRecords(member.pax) }) : Buffer.alloc(0);
  return Buffer.concat([pax, header(member, member.claimedSize ?? content.length), pad(content)]);
}

export function paxRecords(records: Record<string, string | Uint8Array>): Buffer {
  return Buffer.concat(
    Object.entries(records).map(([keyword, value]) => {
      const rest = Buffer.concat([Buffer.from(` ${keyword}=`), Buffer.from(value), Buffer.from("\n")]);
      let length = rest.length;
      while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
      return Buffer.concat([Buffer.from(String(length)), rest]);
    }),
  );
}

function header(member: Member, size: number): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, offset: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, offset, "latin1");
  block.write(member.name, 0, 100, "utf8");
  octal(member.mode ?? 0o644, 100, 8);
  octal(member.uid ?? 0, 108, 8);
  octal(member.gid ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(member.mtime ?? 1_600_000_000, 136, 12);
  block.write(member.type ?? "0", 156, "latin1");
  block.write(member.linkName ?? "", 157, 100, "utf8");
  block.write("ustar\x0000", 257, "latin1");
  octal(member.major ?? 0, 329, 8);
  octal(member.minor ?? 0, 337, 8);
  return withChecksum(block);
}

export function withChecksum(block: Buffer): Buffer {
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function pad(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}
