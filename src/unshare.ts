/** `pod unshare`: this process becomes a command of the user's, in the namespace that it has entered. */

import { config } from "./config.ts";
import { executeCommand, findCommand } from "./ns/command.ts";
import { CLONE_NEWNS } from "./ns/constants.ts";
import { unshare } from "./ns/sys/namespace.ts";
import { getRlimit, setRlimit } from "./ns/sys/process.ts";

const RLIMIT_NOFILE = 7;

/**
 * Returns only by throwing: CommandError with Docker's exit code. The command has a mount namespace of its own, so that
 * it can mount. Bun has raised the soft limit of open files; it goes back to Linux's default.
 */
export function execInNamespace(command: string[]): never {
  unshare(CLONE_NEWNS, "new mount namespace");
  const { soft, hard } = getRlimit(RLIMIT_NOFILE);
  setRlimit(RLIMIT_NOFILE, Math.min(soft, 1024), hard);
  const environment = config.environment();
  executeCommand(findCommand(command, environment), command, environment);
}
