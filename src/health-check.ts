/** One health check, in a copy of the monitor: it runs the command in the container, and says how that went. */

import { formatError } from "./errors.ts";
import type { CheckResult, HealthPlan } from "./health.ts";
import { POLLIN } from "./ns/constants.ts";
import { type ExecRequest, startInContainer } from "./ns/exec.ts";
import { pipe, poll, readInto, setNonBlocking, writeAll } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { childrenOf, fork } from "./ns/sys/fork.ts";
import { kill, pidfdOpen, setParentDeathSignal, waitPid } from "./ns/sys/process.ts";

const SIGKILL = 9;
const outputBytes = 4096; // Docker's

/** Returns at once. `fd` has the result, as JSON, when the check is over; `pid` is to be waited for then. */
export function startCheck(request: Omit<ExecRequest, "fds">, plan: HealthPlan): { pid: number; fd: number } {
  const { readFd, writeFd } = pipe();
  const pid = fork(() => {
    setParentDeathSignal(SIGKILL);
    writeAll(writeFd, Buffer.from(JSON.stringify(check(request, plan))));
    return 0;
  });
  close(writeFd);
  return { pid, fd: readFd };
}

function check(request: Omit<ExecRequest, "fds">, { timeoutMs }: HealthPlan): CheckResult {
  const start = new Date().toISOString();
  const result = (exitCode: number, output: string) => ({ start, end: new Date().toISOString(), exitCode, output });
  const output = pipe();
  try {
    const { pid } = startInContainer({ ...request, fds: [null, output.writeFd, output.writeFd] });
    const text = readUntilEnd(pid, output.readFd, timeoutMs);
    if (text === undefined) {
      endProgram(pid);
      return result(-1, `Health check exceeded timeout (${timeoutMs / 1000}s)`);
    }
    const { code, signal } = waitPid(pid, true)!;
    return result(signal ? 128 + signal : code, text);
  } catch (error) {
    return result(-1, formatError(error));
  }
}

/** Undefined where it takes too long. What its children still write is not waited for. */
function readUntilEnd(pid: number, fd: number, timeoutMs: number): string | undefined {
  const deadline = performance.now() + timeoutMs;
  const pidfd = pidfdOpen(pid);
  const buffer = new Uint8Array(65536);
  let text = Buffer.alloc(0);
  let isOpen = true;
  setNonBlocking(fd, true);
  const read = () => {
    for (let length = readInto(fd, buffer); length !== undefined; length = readInto(fd, buffer)) {
      if (length === 0) isOpen = false;
      if (length === 0) return;
      if (text.length < outputBytes) text = Buffer.concat([text, buffer.subarray(0, length)]).subarray(0, outputBytes);
    }
  };
  for (let rest = timeoutMs; rest > 0; rest = deadline - performance.now()) {
    const [output, end] = poll(
      [
        { fd: isOpen ? fd : -1, events: POLLIN },
        { fd: pidfd, events: POLLIN },
      ],
      rest,
    );
    if (output || end) read();
    if (end) return text.toString();
  }
  return undefined;
}

/** `pid` is outside the container, the program's parent. */
function endProgram(pid: number): void {
  for (const child of childrenOf(pid)) kill(child, SIGKILL);
  waitPid(pid, true);
}
