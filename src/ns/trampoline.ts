/**
 * The last execve(2) but one. A program starts with /proc/self/exe naming the file that its process ran before: were
 * that pod, an image with the entrypoint `/proc/self/exe` or `#!/proc/self/exe` would hold a way to write to pod's own
 * file, which belongs to its root (CVE-2019-5736). So init first becomes this: an anonymous file of some thirty
 * instructions, which does nothing but execve(2) the program.
 */

import { AT_EMPTY_PATH, MFD_CLOEXEC, MFD_EXEC } from "./constants.ts";
import { c, check, cstring, cstringArray } from "./libc.ts";
import { writeAll } from "./sys/descriptor.ts";
import { duplicate } from "./sys/file.ts";
import { closeOnExecFrom } from "./sys/process.ts";

/** Where the trampoline has the channel; the program does not get it. */
const channelFd = 3;

/**
 * Becomes the program at `path`; `channel` closes when it has. Where execve(2) fails, four bytes with the errno go
 * over the channel, and the process ends with 127. Throws SyscallError where not even that can be begun.
 */
export function executeByTrampoline(channel: number, path: string, argv: string[], env: string[]): never {
  duplicate(channel, channelFd); // before the file is made, which might be given this number
  const file = executableMemory(trampoline(process.arch === "arm64" ? "arm64" : "x64"));
  const [args, environment] = [cstringArray([path, ...argv]), cstringArray(env)];
  closeOnExecFrom(channelFd + 1);
  check("execveat", c.execveat(file, cstring(""), args.pointers, environment.pointers, AT_EMPTY_PATH), path);
  throw new Error("unreachable");
}

/** An anonymous file: memfd_create(2). Kernels before 6.3 do not know MFD_EXEC, later ones may ask for it. */
function executableMemory(bytes: Uint8Array): number {
  const name = cstring("pod-trampoline");
  let fd = c.memfd_create(name, MFD_CLOEXEC | MFD_EXEC);
  if (fd === -1) fd = check("memfd_create", c.memfd_create(name, MFD_CLOEXEC), "(see sysctl vm.memfd_noexec)");
  writeAll(fd, bytes);
  return fd;
}

type Architecture = "x64" | "arm64";

/**
 * The instructions, as their bytes are in memory. argv[0] is the program's path, what follows its own arguments. An
 * image that runs it again, by /proc/self/exe, has no descriptor 3, and gets no further.
 */
const instructions: Record<Architecture, string> = {
  x64: `
    b848000000 bf03000000 be02000000 ba01000000 0f05   fcntl(3, F_SETFD, FD_CLOEXEC)
    85c0 7530                                          test  eax, eax; jne exit
    488b0c24                                           mov   rcx, [rsp]         argc
    488b7c2408                                         mov   rdi, [rsp + 8]     argv[0]
    488d742410                                         lea   rsi, [rsp + 16]    &argv[1]
    488d14ce                                           lea   rdx, [rsi + rcx*8] envp
    b83b000000 0f05                                    execve(rdi, rsi, rdx)
    f7d8 50                                            neg   eax; push rax      errno
    4889e6                                             mov   rsi, rsp
    bf03000000 ba04000000 b801000000 0f05              write(3, rsi, 4)
    bf7f000000 b8e7000000 0f05                         exit: exit_group(127)`,
  arm64: `
    600080d2 410080d2 220080d2 280380d2 010000d4       fcntl(3, F_SETFD, FD_CLOEXEC)
    a0010035                                           cbnz  w0, exit
    e90340a9                                           ldp   x9, x0, [sp]       argc, argv[0]
    e1430091                                           add   x1, sp, #16        &argv[1]
    220c098b                                           add   x2, x1, x9, lsl #3 envp
    a81b80d2 010000d4                                  execve(x0, x1, x2)
    e00300cb e00f1ff8                                  neg   x0, x0; str x0, [sp, #-16]!
    600080d2 e1030091 820080d2 080880d2 010000d4       write(3, sp, 4)
    e00f80d2 c80b80d2 010000d4                         exit: exit_group(127)`,
};

/** An ELF file of one segment: elf(5). */
export function trampoline(architecture: Architecture): Buffer {
  const listing = instructions[architecture].matchAll(/^ +((?:(?:[0-9a-f]{2})+ )+)/gm);
  const code = Buffer.from([...listing].map(([, bytes]) => bytes!.replaceAll(" ", "")).join(""), "hex");
  const headerBytes = 64 + 2 * 56;
  const base = 0x400000n;
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
