/** What can be changed of a container that is there: its name, its restart policy and its published ports. */

import { askMonitor } from "./attach.ts";
import { Control } from "./control.ts";
import { checkName, parseRestart } from "./create.ts";
import { ConflictError, PodError, UsageError } from "./errors.ts";
import { renameMember } from "./membership.ts";
import { findPorts, withoutPorts } from "./port-options.ts";
import { changeRecord, findContainer, type PortBinding } from "./storage/containers.ts";
import { recordContainerEvent } from "./storage/events.ts";

/** Errors are Docker's: UsageError, NotFoundError, PodError where the name is taken or is none. In the user's namespace. */
export function renameContainer(text: string, newName: string): void {
  const name = newName.replace(/^\//, "");
  if (!text || !name) throw new UsageError("Neither old nor new names may be empty");
  const { record } = findContainer(text);
  if (record.name === name) throw new UsageError("Renaming a container with the same name as its current name");
  try {
    changeAndTell(record.id, () => ({ name: checkName(name) }));
  } catch (cause) {
    throw new PodError("Error when allocating new name", { cause });
  }
  renameMember(record, name);
  recordContainerEvent("rename", { ...record, name }, { oldName: `/${record.name}` });
}

/** The policy as `run --restart` takes it. Throws UsageError, NotFoundError, or ConflictError for a container that goes when it ends. */
export function updateRestartPolicy(text: string, policy: string): void {
  const restart = parseRestart(policy);
  const { record } = findContainer(text);
  if (record.autoRemove && restart.name !== "no") {
    throw new ConflictError("Restart policy cannot be updated because AutoRemove is enabled for the container");
  }
  changeAndTell(record.id, () => ({ restart }));
  recordContainerEvent("update", record);
}

/**
 * At once where it runs, and for its next starts. What is removed is gone before the others are added. Throws NotFoundError
 * where it is not published, PodError with Docker's text where a port is taken: then nothing has changed.
 */
export function updatePorts(text: string, { add, remove }: { add: PortBinding[]; remove: PortBinding[] }): void {
  const { record, state } = findContainer(text);
  const { mode } = record.network;
  if (mode === "container") {
    throw new ConflictError("conflicting options: port publishing and the container type network mode");
  }
  if (mode === "host") throw new ConflictError("published ports are discarded when using host network mode");
  if (mode === "none") throw new ConflictError("a container with --network none has no ports to publish");
  const removed = findPorts(record.ports ?? [], remove, record.name);
  if (state.status === "running") askMonitor(record.id, { kind: "publish", remove: removed, add });
  changeAndTell(record.id, ({ ports = [] }) => ({ ports: [...withoutPorts(ports, removed), ...add] }));
  recordContainerEvent("update", record);
}

/** Its monitor hears of it too, where it runs. */
export function changeAndTell(id: string, decide: Parameters<typeof changeRecord>[1]): void {
  const fields = changeRecord(id, decide);
  const control = Control.open(id);
  control?.tell({ kind: "changed", fields });
  control?.close();
}
