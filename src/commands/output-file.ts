/** Where `save` and `export` write: a file, which appears whole, or stdout, which must be no terminal. */

import { closeSync, openSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { PodError, UsageError } from "../errors.ts";
import * as output from "../output.ts";
import { isOfLiveProcess, isTag, processTag } from "../storage/tags.ts";

/** Calls `produce` with a function that takes the bytes, in order. Refusals are Docker's; `verb` is the command's. */
export async function writeOutput(
  verb: "save" | "export",
  path: string | undefined,
  produce: (write: (bytes: Uint8Array) => void) => Promise<void> | void,
): Promise<void> {
  if (path === undefined) {
    if (output.isTerminalFd(1)) {
      throw new UsageError(`cowardly refusing to ${verb} to a terminal. Use the -o flag or redirect`);
    }
    return await produce((bytes) => output.write("stdout", bytes));
  }
  checkPath(verb, path);
  const isSpecial = statSync(path, { throwIfNoEntry: false })?.isFile() === false; // a device or a pipe stays what it is
  const prefix = `.${basename(path)}.`;
  if (!isSpecial) sweep(dirname(path), prefix);
  const target = isSpecial ? path : join(dirname(path), prefix + processTag());
  try {
    const fd = openSync(target, "w");
    try {
      await produce((bytes) => writeFile(path, fd, bytes));
    } finally {
      closeSync(fd);
    }
    if (!isSpecial) renameSync(target, path);
  } catch (error) {
    if (!isSpecial) rmSync(target, { force: true });
    throw error;
  }
}

/** What commands that were killed have left of the same file. */
function sweep(folder: string, prefix: string): void {
  for (const name of readdirSync(folder).filter((each) => each.startsWith(prefix))) {
    const tag = name.slice(prefix.length);
    if (isTag(tag) && !isOfLiveProcess(tag)) rmSync(join(folder, name), { force: true });
  }
}

function writeFile(path: string, fd: number, bytes: Uint8Array): void {
  try {
    output.writeTo(fd, bytes);
  } catch (cause) {
    throw new PodError(`write ${path}`, { cause });
  }
}

/** docker/cli, command/utils.go ValidateOutputPath. */
function checkPath(verb: string, path: string): void {
  const fail = (why: string) =>
    new PodError(`failed to ${verb} ${verb === "save" ? "image" : "container"}: invalid output path: ${why}`);
  if (!statSync(dirname(path), { throwIfNoEntry: false })?.isDirectory()) {
    throw fail(`directory ${JSON.stringify(dirname(path))} does not exist`);
  }
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw fail(`${JSON.stringify(path)} is a directory`);
}
