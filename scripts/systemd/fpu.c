/*
 * user-mode-linux 6.1 keeps less of a process's FPU state than a CPU with AMX has, and Linux takes all of it or none
 * (EFAULT): what is missing is filled in with what is there. For LD_PRELOAD.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NT_X86_XSTATE 0x202

long ptrace(enum __ptrace_request request, ...) {
  va_list list;
  va_start(list, request);
  pid_t pid = va_arg(list, pid_t);
  void *address = va_arg(list, void *), *data = va_arg(list, void *);
  va_end(list);
  if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE) {
    static char whole[65536] __attribute__((aligned(64)));
    struct iovec *given = data, all = {whole, sizeof whole};
    if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, address, &all) == 0 && all.iov_len > given->iov_len) {
      memcpy(whole, given->iov_base, given->iov_len);
      data = &all;
    }
  }
  long word; /* these return it by a pointer: ptrace(2), "C library/kernel differences" */
  int reads = request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER;
  long result = syscall(SYS_ptrace, request, pid, address, reads ? &word : data);
  return reads && result == 0 ? word : result;
}
