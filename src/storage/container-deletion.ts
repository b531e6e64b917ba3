/** Containers go: each disappears in one moment, with its name, and its files are deleted afterwards. */

import { join } from "node:path";
import { existsSync, readdirSync, renameSync, rmSync } from "../ns/sys/fs.ts";
import { type ContainerRecord, containerDir, hasName, readName, readRecord } from "./containers.ts";
import { recordContainerEvent } from "./events.ts";
import { removeTree, withLock, withReserve } from "./files.ts";
import { paths } from "./store.ts";
import { processTag } from "./tags.ts";

/**
 * Deletes a container: it disappears in one moment, with its name; what another process has deleted already is no
 * error. The function that comes back deletes its files; a later command does that, should this process end first. The
 * caller made sure that nothing runs.
 */
export function deleteContainer(record: ContainerRecord): () => void {
  const trash = join(paths.temporary, processTag());
  withLock("names", () => {
    const current = readRecord(record.id) ?? record; // it may have got another name
    if (existsSync(containerDir(record.id))) {
      withReserve(() => renameSync(containerDir(record.id), trash));
      recordContainerEvent("destroy", current);
    }
    for (const name of new Set([record.name, current.name])) {
      if (readName(name) === record.id) rmSync(join(paths.names, name), { force: true });
    }
  });
  return () => removeTree(trash);
}

/** The same for one whose record is damaged. */
export function deleteDamaged(id: string): () => void {
  const trash = join(paths.temporary, processTag());
  withLock("names", () => {
    if (existsSync(containerDir(id))) withReserve(() => renameSync(containerDir(id), trash));
    for (const name of readdirSync(paths.names)) {
      if (readName(name) === id) rmSync(join(paths.names, name), { force: true });
    }
  });
  return () => removeTree(trash);
}

/** Removes names whose container is not there, or called otherwise: of processes that were killed between the two. */
export function sweepNames(): void {
  if (readdirSync(paths.names).length <= readdirSync(paths.containers).length) return;
  withLock("names", () => {
    for (const name of readdirSync(paths.names)) {
      if (!hasName(readName(name)!, name)) rmSync(join(paths.names, name), { force: true });
    }
  });
}
