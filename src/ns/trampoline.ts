/**
 * The last execve(2) but one. A program starts with /proc/self/exe naming the file that its process ran before: were
 * that pod, an image with the entrypoint `/proc/self/exe` or `#!/proc/self/exe` would hold a way to write to pod's own
 * file, which belongs to its root (CVE-2019-5736). So init first becomes this, which does nothing but execve(2) the
 * program.
 */

import { type Architecture, elf, executableMemory, ownArchitecture } from "./elf.ts";
import { duplicate } from "./sys/file.ts";
import { closeOnExecFrom, executeDescriptor } from "./sys/process.ts";

/** Where the trampoline has the channel; the program does not get it. */
const channelFd = 3;

/**
 * Becomes the program at `path`; `channel` closes when it has. Where execve(2) fails, four bytes with the errno go
 * over the channel, and the process ends with 127. Throws SyscallError where not even that can be begun.
 */
export function executeByTrampoline(channel: number, path: string, argv: string[], env: string[]): never {
  duplicate(channel, channelFd); // before the file is made, which might be given this number
  const file = executableMemory("pod-trampoline", elf(ownArchitecture, trampoline[ownArchitecture]));
  closeOnExecFrom(channelFd + 1);
  executeDescriptor(file, [path, ...argv], env);
}

/**
 * argv[0] is the program's path, what follows its own arguments. An image that runs it again, by /proc/self/exe, has no
 * descriptor 3, and gets no further.
 */
export const trampoline: Record<Architecture, string> = {
  x64: `
    b848000000              mov   eax, 72             # fcntl(3, F_SETFD, FD_CLOEXEC)
    bf03000000              mov   edi, 3
    be02000000              mov   esi, 2
    ba01000000              mov   edx, 1
    0f05                    syscall
    85c0                    test  eax, eax
    7530                    jne   exit
    488b0c24                mov   rcx, [rsp]          # argc
    488b7c2408              mov   rdi, [rsp + 8]      # argv[0]
    488d742410              lea   rsi, [rsp + 16]     # &argv[1]
    488d14ce                lea   rdx, [rsi + rcx*8]  # envp
    b83b000000              mov   eax, 59             # execve(rdi, rsi, rdx)
    0f05                    syscall
    f7d8                    neg   eax                 # errno
    50                      push  rax
    4889e6                  mov   rsi, rsp
    bf03000000              mov   edi, 3
    ba04000000              mov   edx, 4
    b801000000              mov   eax, 1              # write(3, rsp, 4)
    0f05                    syscall
    bf7f000000        exit: mov   edi, 127
    b8e7000000              mov   eax, 231            # exit_group(127)
    0f05                    syscall`,
  arm64: `
    600080d2                mov   x0, #3              // fcntl(3, F_SETFD, FD_CLOEXEC)
    410080d2                mov   x1, #2
    220080d2                mov   x2, #1
    280380d2                mov   x8, #25
    010000d4                svc   #0
    a0010035                cbnz  w0, exit
    e90340a9                ldp   x9, x0, [sp]        // argc, argv[0]
    e1430091                add   x1, sp, #16         // &argv[1]
    220c098b                add   x2, x1, x9, lsl #3  // envp
    a81b80d2                mov   x8, #221            // execve(x0, x1, x2)
    010000d4                svc   #0
    e00300cb                neg   x0, x0              // errno
    e00f1ff8                str   x0, [sp, #-16]!
    600080d2                mov   x0, #3
    e1030091                mov   x1, sp
    820080d2                mov   x2, #4
    080880d2                mov   x8, #64             // write(3, sp, 4)
    010000d4                svc   #0
    e00f80d2          exit: mov   x0, #127
    c80b80d2                mov   x8, #94             // exit_group(127)
    010000d4                svc   #0`,
};
