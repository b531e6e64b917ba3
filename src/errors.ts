/** The errors of pod. Each names the object, the operation and the cause; `cli.ts` turns them into text and exit codes. */

import { constants } from "node:os";

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
/** The object exists, but its state or its name forbids the operation. */
export class ConflictError extends PodError {}

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

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
errnoNames.set(constants.errno.EAGAIN, "EAGAIN"); // shares its number with EWOULDBLOCK

function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}

/** strerror(3)'s text in lower case, for the errors that users meet. */
const errnoTexts: Record<string, string> = {
  EPERM: "operation not permitted",
  ENOENT: "no such file or directory",
  ESRCH: "no such process",
  EIO: "input/output error",
  ENXIO: "no such device or address",
  ENOEXEC: "exec format error",
  EBADF: "bad file descriptor",
  EAGAIN: "resource temporarily unavailable",
  ENOMEM: "cannot allocate memory",
  EACCES: "permission denied",
  EBUSY: "device or resource busy",
  EEXIST: "file exists",
  EXDEV: "invalid cross-device link",
  ENODEV: "no such device",
  ENOTDIR: "not a directory",
  EISDIR: "is a directory",
  EINVAL: "invalid argument",
  EMFILE: "too many open files",
  ENOSPC: "no space left on device",
  EROFS: "read-only file system",
  EMLINK: "too many links",
  EPIPE: "broken pipe",
  ENAMETOOLONG: "file name too long",
  ENOSYS: "function not implemented by this kernel",
  ENOTEMPTY: "directory not empty",
  ELOOP: "too many levels of symbolic links",
  EOPNOTSUPP: "operation not supported",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EDQUOT: "disk quota exceeded",
};

function describeErrno(code: string): string {
  return errnoTexts[code] ?? code;
}

/** True for a failed call of ours or of node:fs with one of these codes. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && codes.includes((error as { code?: string }).code ?? "");
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
  return undefined;
}

/** node:fs words its errors `ENOENT: no such file or directory, open '/x'`; the user reads ours. */
function messageOf(error: Error): string {
  const { code, syscall, path, dest } = error as NodeJS.ErrnoException & { dest?: string };
  if (error instanceof PodError || !code || !syscall) return error.message;
  const subject = [path, dest].filter(Boolean).join(" -> ");
  return `${syscall}${subject ? ` ${subject}` : ""}: ${describeErrno(code)} (${code})`;
}
