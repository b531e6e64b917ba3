/** The errors of pod. Each names the object, the operation and the cause; `cli.ts` turns them into text and exit codes. */

interface PodErrorOptions {
  cause?: unknown;
  /** What the user can do about it: one sentence, printed on a line of its own. */
  hint?: string;
}

/** Any failure pod can explain. The text is lower case without a full stop, save where Docker's own words are copied. */
export class PodError extends Error {
  readonly hint?: string;

  constructor(message: string, options: PodErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.name = new.target.name;
    this.hint = options.hint;
  }
}

/** The command line was wrong: unknown flag, missing operand, bad value. */
export class UsageError extends PodError {}
/** A container, image or other object that was named does not exist. */
export class NotFoundError extends PodError {}
/** It was there, and another command has removed it meanwhile: trying once more may help. */
export class ImageGoneError extends NotFoundError {
  constructor(digest: string) {
    super(`image ${digest} is gone: another command removed it`);
  }
}
/** The object exists, but its state or its name forbids the operation. */
export class ConflictError extends PodError {}

/** A container's record says nothing: a power cut may leave an empty file. */
export class DamagedContainerError extends PodError {
  constructor(
    readonly id: string,
    options: PodErrorOptions = {},
  ) {
    super(`container ${id.slice(0, 12)}: its container.json is damaged`, options);
  }
}

/** The container's program could not be started; `exitCode` is Docker's 125, 126 or 127. */
export class CommandError extends PodError {
  constructor(
    message: string,
    readonly exitCode: number,
    options: PodErrorOptions = {},
  ) {
    super(message, options);
  }
}

/** A registry answered with an error. The text never holds a token or a password. */
export class RegistryError extends PodError {
  constructor(
    message: string,
    /** HTTP status, or 0 where there was no answer. */
    readonly status: number,
    options: PodErrorOptions = {},
  ) {
    super(message, options);
  }
}

/** A system call failed. `errno` is its positive number, `code` its name (ENOENT …). */
export class SyscallError extends PodError {
  readonly code: string;

  constructor(
    readonly syscall: string,
    readonly errno: number,
    /** What it was called on: usually a path. */
    readonly subject?: string,
    options: PodErrorOptions = {},
  ) {
    const code = errnoName(errno);
    super(`${syscall}${subject ? ` ${subject}` : ""}: ${describeErrno(code)} (${code})`, options);
    this.code = code;
  }
}

/**
 * <asm-generic/errno.h> with strerror(3)'s texts in lower case, for the errors that users meet. One text, since sixty
 * objects cost a tenth of the heap that a command may have while it enters the user namespace (docs/architecture.md).
 */
const errnos = `
1 EPERM operation not permitted
2 ENOENT no such file or directory
3 ESRCH no such process
4 EINTR interrupted system call
5 EIO input/output error
6 ENXIO no such device or address
7 E2BIG argument list too long
8 ENOEXEC exec format error
9 EBADF bad file descriptor
10 ECHILD no child processes
11 EAGAIN resource temporarily unavailable
12 ENOMEM cannot allocate memory
13 EACCES permission denied
14 EFAULT bad address
16 EBUSY device or resource busy
17 EEXIST file exists
18 EXDEV invalid cross-device link
19 ENODEV no such device
20 ENOTDIR not a directory
21 EISDIR is a directory
22 EINVAL invalid argument
23 ENFILE too many open files in the system
24 EMFILE too many open files
25 ENOTTY inappropriate ioctl for device
26 ETXTBSY text file busy
27 EFBIG file too large
28 ENOSPC no space left on device
30 EROFS read-only file system
31 EMLINK too many links
32 EPIPE broken pipe
34 ERANGE numerical result out of range
36 ENAMETOOLONG file name too long
38 ENOSYS function not implemented by this kernel
39 ENOTEMPTY directory not empty
40 ELOOP too many levels of symbolic links
61 ENODATA no data available
71 EPROTO protocol error
75 EOVERFLOW value too large for defined data type
87 EUSERS too many users
95 EOPNOTSUPP operation not supported
98 EADDRINUSE address already in use
99 EADDRNOTAVAIL cannot assign requested address
101 ENETUNREACH network is unreachable
103 ECONNABORTED software caused connection abort
104 ECONNRESET connection reset by peer
107 ENOTCONN transport endpoint is not connected
110 ETIMEDOUT connection timed out
111 ECONNREFUSED connection refused
113 EHOSTUNREACH no route to host
116 ESTALE stale file handle
122 EDQUOT disk quota exceeded
`;

function errnoName(errno: number): string {
  return wordsAfter(`\n${errno} `, " ") ?? `errno ${errno}`;
}

function describeErrno(code: string): string {
  return wordsAfter(` ${code} `, "\n") ?? code;
}

/** Of the list, up to `end`. A regular expression takes a tenth of a millisecond the first time, and most are used once. */
function wordsAfter(start: string, end: string): string | undefined {
  const at = errnos.indexOf(start);
  if (at === -1) return undefined;
  const from = at + start.length;
  return errnos.slice(from, errnos.indexOf(end, from));
}

/** True for a failed call of ours or of node:fs with one of these codes. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && codes.includes((error as { code?: string }).code ?? "");
}

/** The error that the others were thrown for. */
export function rootCause(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? rootCause(error.cause) : error;
}

/** The chain of causes as one line of text: `start web: mount /proc: operation not permitted (EPERM)`. */
export function formatError(error: unknown): string {
  const parts: string[] = [];
  for (let current: unknown = error; current !== undefined; current = (current as Error).cause) {
    const text = current instanceof Error ? messageOf(current) : String(current);
    if (text && !parts.at(-1)?.endsWith(text)) parts.push(text);
    if (!(current instanceof Error)) break;
  }
  return parts.join(": ");
}

/** The first hint in the chain of causes. */
export function hintOf(error: unknown): string | undefined {
  for (let current = error; current instanceof Error; current = current.cause) {
    if (current instanceof PodError && current.hint) return current.hint;
  }
  const root = rootCause(error);
  if (!hasCode(root, "ENOSPC", "EDQUOT")) return undefined;
  const isLimit = root instanceof SyscallError && ["unshare", "clone"].includes(root.syscall); // unshare(2), ENOSPC
  return isLimit ? "the limit of such namespaces is reached; see sysctl user" : "free some space, then try again";
}

/** node:fs words its errors `ENOENT: no such file or directory, open '/x'`; the user reads ours. */
function messageOf(error: Error): string {
  const { code, syscall, path, dest } = error as NodeJS.ErrnoException & { dest?: string };
  if (error instanceof PodError || !code || !syscall) return error.message;
  const subject = [path, dest].filter(Boolean).join(" -> ");
  return `${syscall}${subject ? ` ${subject}` : ""}: ${describeErrno(code)} (${code})`;
}
