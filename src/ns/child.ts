/** Work in a copy of this process: for what can't be undone in this one, such as a mount namespace of its own. */

import { formatError, hintOf, PodError, SyscallError } from "../errors.ts";
import { pipe, writeAll } from "./sys/descriptor.ts";
import { close, readDescriptor } from "./sys/file.ts";
import { fork } from "./sys/fork.ts";
import { setParentDeathSignal, waitPid } from "./sys/process.ts";

type Answer<T> = { value: T } | { syscall: [string, number, string?] } | { message: string; hint?: string };

/** Runs `action`, which is synchronous, there, and returns what it returns, which JSON must be able to say; or throws what it throws. */
export function runInChild<T>(action: () => T): T {
  const { readFd, writeFd } = pipe();
  const child = fork(() => {
    setParentDeathSignal(9);
    writeAll(writeFd, Buffer.from(JSON.stringify(answerOf(action))));
    return 0;
  });
  close(writeFd);
  const text = readDescriptor(readFd).toString();
  close(readFd);
  waitPid(child, true);
  if (!text) throw new PodError("the process that did the work was ended");
  const answer = JSON.parse(text) as Answer<T>;
  if ("syscall" in answer) throw new SyscallError(...answer.syscall);
  if ("message" in answer) throw new PodError(answer.message, { hint: answer.hint });
  return answer.value;
}

/** A system call's error keeps its kind: callers look at its code. */
function answerOf<T>(action: () => T): Answer<T> {
  try {
    return { value: action() };
  } catch (error) {
    if (error instanceof SyscallError) return { syscall: [error.syscall, error.errno, error.subject] };
    return { message: formatError(error), hint: hintOf(error) };
  }
}
