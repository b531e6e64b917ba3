/** The last step: finding the program as execvp(3) does, and execve(2), with Docker's exit codes for what goes wrong. */

import { CommandError, hasCode, SyscallError } from "../errors.ts";
import { O_PATH, S_IFDIR, S_IFMT } from "./constants.ts";
import { close, open, statAt } from "./sys/file.ts";
import { execve, resetSignals } from "./sys/process.ts";
import { executeByTrampoline } from "./trampoline.ts";

/** The path that `args[0]` means, by the container's own PATH. Throws CommandError 126 or 127. */
export function findCommand(args: string[], env: string[]): string {
  const name = args[0]!;
  if (name.includes("/")) {
    return requireFile(name, name);
  }
  const path = env.find((entry) => entry.startsWith("PATH="))?.slice(5) ?? "";
  let denied: string | undefined;
  for (const dir of path.split(":")) {
    const candidate = `${dir || "."}/${name}`;
    const kind = probe(candidate);
    if (kind === "unreachable") continue; // a folder that is closed to us holds nothing for us, as for a shell
    if (kind === "program") return candidate;
    if (kind === "denied") denied ??= candidate;
  }
  if (denied) throw new CommandError(`exec: "${name}": permission denied`, 126);
  throw new CommandError(`exec: "${name}": executable file not found in $PATH`, 127);
}

function requireFile(path: string, name: string): string {
  const kind = probe(path);
  if (kind === "missing") throw new CommandError(`exec: "${name}": stat ${path}: no such file or directory`, 127);
  if (kind !== "program")
    throw new CommandError(`exec: "${name}": ${kind === "directory" ? "is a directory" : "permission denied"}`, 126);
  return path;
}

function probe(path: string): "program" | "directory" | "denied" | "unreachable" | "missing" {
  try {
    const fd = open(path, O_PATH); // follows links
    const { mode } = statAt(fd, "");
    close(fd);
    if ((mode & S_IFMT) === S_IFDIR) return "directory";
    return mode & 0o111 ? "program" : "denied";
  } catch (error) {
    return hasCode(error, "EACCES") ? "unreachable" : "missing";
  }
}

/** execve(2) with a clean slate of signals. Throws CommandError 126 or 127. */
export function executeCommand(path: string, args: string[], env: string[]): never {
  resetSignals();
  try {
    execve(path, args, env);
  } catch (error) {
    throw toCommandError(error, args[0]!);
  }
}

/** The same in a container. What fails goes over the channel: awaitProgram() of handshake.ts hears it. */
export function executeInContainer(channel: number, path: string, args: string[], env: string[]): never {
  resetSignals();
  executeByTrampoline(channel, path, args, env);
}

/** A failed execve(2) in Docker's words, with its exit code; any other error as it is. */
export function toCommandError(error: unknown, name: string): unknown {
  if (!(error instanceof SyscallError)) return error;
  if (error.code === "ENOENT")
    return new CommandError(`exec: "${name}": the interpreter it names does not exist`, 127, { cause: error });
  if (error.code === "ENOEXEC") {
    return new CommandError(`exec: "${name}": exec format error`, 126, {
      hint: `it is no program for ${process.arch === "x64" ? "amd64" : "arm64"}; see --platform`,
    });
  }
  return new CommandError(`exec: "${name}"`, 126, { cause: error });
}
