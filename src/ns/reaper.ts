/**
 * `--init`: PID 1 reaps orphans and forwards signals; the program is its child. A copy of pod would take megabytes for
 * that, as long as the container runs: so it becomes these instructions, and some pages. They are no file of pod's
 * either, for the container's root may open /proc/1/exe (CVE-2019-5736).
 */

import { type Architecture, elf, executableMemory, ownArchitecture } from "./elf.ts";
import { fork } from "./sys/fork.ts";
import { closeOnExecFrom, executeDescriptor, resetSignals, setSignalMask, signalSet } from "./sys/process.ts";

/** Those that no signalset can hold (KILL, STOP), and those of a fault of its own (SEGV …), which are to end it. */
const uncollected = [4, 5, 6, 7, 8, 9, 11, 19, 31];
const collected = Array.from({ length: 64 }, (_, index) => index + 1).filter((signal) => !uncollected.includes(signal));

/**
 * `execute` becomes the program in a child. PID 1 ends with the program's exit code, or 128 + signal. All descriptors
 * but the standard streams close when it has begun. Throws SyscallError where it can't.
 */
export function runReaper(execute: () => never): never {
  resetSignals(); // an ignored SIGCHLD would stay ignored, and children would end unseen
  setSignalMask("set", collected); // before there is anything to miss; execve(2) keeps the mask, and what is pending
  const program = fork(execute);
  const file = executableMemory("pod-init", elf(ownArchitecture, reaper(ownArchitecture, program)));
  closeOnExecFrom(3);
  executeDescriptor(file, ["pod init"], []);
}

/** The instructions, with what they collect; `program` is its pid. */
export function reaper(architecture: Architecture, program: number): string {
  const signals = Buffer.from(signalSet(collected));
  const pid = Buffer.alloc(4);
  pid.writeUInt32LE(program);
  return `${instructions[architecture]}
    ${signals.toString("hex")}  signals: .quad 0x${signals.readBigUInt64LE().toString(16)}
    ${pid.toString("hex")}  program: .long ${program}
    706f6420696e697400  name: .asciz "pod init"`;
}

/**
 * siginfo_t has the signal's si_code at 8. SI_KERNEL (128) there means a terminal's, which went to the whole foreground
 * group already. The lowest seven bits of wait4(2)'s status are the signal, the next byte is the exit code.
 */
const instructions: Record<Architecture, string> = {
  x64: `
    4881ec80000000          sub   rsp, 128                  # room for a siginfo_t
    b89d000000              mov   eax, 157                  # prctl(PR_SET_NAME, name)
    bf0f000000              mov   edi, 15
    488d3588000000          lea   rsi, [rip + name]
    0f05                    syscall
    b880000000        wait: mov   eax, 128                  # rt_sigtimedwait(signals, rsp, NULL, 8)
    488d3d6e000000          lea   rdi, [rip + signals]
    4889e6                  mov   rsi, rsp
    31d2                    xor   edx, edx
    41ba08000000            mov   r10d, 8
    0f05                    syscall
    83f811                  cmp   eax, 17                   # SIGCHLD
    741f                    je    reap
    85c0                    test  eax, eax                  # -EINTR
    7ede                    jle   wait
    817c240880000000        cmp   dword ptr [rsp + 8], 128  # SI_KERNEL
    74d4                    je    wait
    89c6                    mov   esi, eax                  # kill(program, eax)
    8b3d4e000000            mov   edi, [rip + program]
    b83e000000              mov   eax, 62
    0f05                    syscall
    ebc3                    jmp   wait
    b83d000000        reap: mov   eax, 61                   # wait4(-1, rsp, WNOHANG, NULL)
    bfffffffff              mov   edi, -1
    4889e6                  mov   rsi, rsp
    ba01000000              mov   edx, 1
    4531d2                  xor   r10d, r10d
    0f05                    syscall
    85c0                    test  eax, eax                  # none, or -ECHILD
    7ea8                    jle   wait
    3b0524000000            cmp   eax, [rip + program]
    75dd                    jne   reap
    0fb67c2401              movzx edi, byte ptr [rsp + 1]   # exit code
    8b0424                  mov   eax, [rsp]
    83e07f                  and   eax, 127                  # signal
    7406                    je    exit
    8db880000000            lea   edi, [rax + 128]
    b8e7000000        exit: mov   eax, 231                  # exit_group(edi)
    0f05                    syscall`,
  arm64: `
    ff0302d1                sub   sp, sp, #128              // room for a siginfo_t
    e00180d2                mov   x0, #15                   // prctl(PR_SET_NAME, name)
    41050010                adr   x1, name
    e81480d2                mov   x8, #167
    010000d4                svc   #0
    80040010          wait: adr   x0, signals               // rt_sigtimedwait(signals, sp, NULL, 8)
    e1030091                mov   x1, sp
    020080d2                mov   x2, #0
    030180d2                mov   x3, #8
    281180d2                mov   x8, #137
    010000d4                svc   #0
    1f440071                cmp   w0, #17                   // SIGCHLD
    60010054                b.eq  reap
    1f000071                cmp   w0, #0                    // -EINTR
    edfeff54                b.le  wait
    e10b40b9                ldr   w1, [sp, #8]
    3f000271                cmp   w1, #128                  // SI_KERNEL
    80feff54                b.eq  wait
    e103002a                mov   w1, w0                    // kill(program, w0)
    00030018                ldr   w0, program
    281080d2                mov   x8, #129
    010000d4                svc   #0
    efffff17                b     wait
    00008092          reap: mov   x0, #-1                   // wait4(-1, sp, WNOHANG, NULL)
    e1030091                mov   x1, sp
    220080d2                mov   x2, #1
    030080d2                mov   x3, #0
    882080d2                mov   x8, #260
    010000d4                svc   #0
    1f000071                cmp   w0, #0                    // none, or -ECHILD
    edfcff54                b.le  wait
    81010018                ldr   w1, program
    1f00016b                cmp   w0, w1
    c1feff54                b.ne  reap
    e0074039                ldrb  w0, [sp, #1]              // exit code
    e10340b9                ldr   w1, [sp]
    21180072                ands  w1, w1, #127              // signal
    40000054                b.eq  exit
    20000211                add   w0, w1, #128
    c80b80d2          exit: mov   x8, #94                   // exit_group(w0)
    010000d4                svc   #0`,
};
