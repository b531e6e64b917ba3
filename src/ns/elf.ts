/** Programs of a few instructions, in anonymous files: for what a process becomes when it can be neither pod nor the image's. */

import { MFD_CLOEXEC, MFD_EXEC } from "./constants.ts";
import { c, check, cstring } from "./libc.ts";
import { writeAll } from "./sys/descriptor.ts";

export type Architecture = "x64" | "arm64";
export const ownArchitecture: Architecture = process.arch === "arm64" ? "arm64" : "x64";

const base = 0x400000n;
const headerBytes = 64 + 2 * 56;

/**
 * An ELF file of one segment: elf(5). In the listing each line begins with the bytes of an instruction, as they are in
 * memory; beside them stands the instruction as an assembler reads it.
 */
export function elf(architecture: Architecture, listing: string): Buffer {
  const lines = [...listing.matchAll(/^ +((?:[0-9a-f]{2})+) /gm)];
  const code = Buffer.from(lines.map(([, bytes]) => bytes!).join(""), "hex");
  const size = BigInt(headerBytes + code.length);
  const header = Buffer.alloc(headerBytes);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // magic, 64 bits, little-endian, version 1
  header.writeUInt16LE(2, 16); // ET_EXEC
  header.writeUInt16LE(architecture === "arm64" ? 183 : 62, 18); // EM_AARCH64, EM_X86_64
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(base + BigInt(headerBytes), 24); // entry point
  header.writeBigUInt64LE(64n, 32); // offset of the program headers
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(2, 56); // two of them
  programHeader(header.subarray(64), 1 /* PT_LOAD */, 5 /* PF_R | PF_X */, base, size);
  programHeader(header.subarray(120), 0x6474e551 /* PT_GNU_STACK */, 6 /* PF_R | PF_W */, 0n, 0n);
  return Buffer.concat([header, code]);
}

function programHeader(bytes: Buffer, type: number, flags: number, address: bigint, size: bigint): void {
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(flags, 4);
  bytes.writeBigUInt64LE(address, 16);
  bytes.writeBigUInt64LE(address, 24);
  bytes.writeBigUInt64LE(size, 32);
  bytes.writeBigUInt64LE(size, 40);
  bytes.writeBigUInt64LE(0x10000n, 48); // the largest page size
}

/**
 * memfd_create(2): an anonymous file with these bytes, for executeDescriptor(); close-on-exec. Kernels before 6.3 do not
 * know MFD_EXEC, later ones may ask for it.
 */
export function executableMemory(name: string, bytes: Uint8Array): number {
  const text = cstring(name);
  let fd = c.memfd_create(text, MFD_CLOEXEC | MFD_EXEC);
  if (fd === -1) fd = check("memfd_create", c.memfd_create(text, MFD_CLOEXEC), "(see sysctl vm.memfd_noexec)");
  writeAll(fd, bytes);
  return fd;
}
