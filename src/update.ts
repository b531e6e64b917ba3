/** What can be changed of a container that is there: its name and its restart policy. */

import { Control } from "./control.ts";
import { checkName, parseRestart } from "./create.ts";
import { ConflictError, PodError, UsageError } from "./errors.ts";
import { renameMember } from "./membership.ts";
import { changeRecord, findContainer, type RecordChange } from "./storage/containers.ts";
import { recordContainerEvent } from "./storage/events.ts";

/** Errors are Docker's: UsageError, NotFoundError, PodError where the name is taken or is none. In the user's namespace. */
export function renameContainer(text: string, newName: string): void {
  const name = newName.replace(/^\//, "");
  if (!text || !name) throw new UsageError("Neither old nor new names may be empty");
  const { record } = findContainer(text);
  if (record.name === name) throw new UsageError("Renaming a container with the same name as its current name");
  try {
    change(record.id, { name: checkName(name) });
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
  change(record.id, { restart });
  recordContainerEvent("update", record);
}

/** Its monitor hears of it too, where it runs. */
function change(id: string, fields: RecordChange): void {
  changeRecord(id, () => fields);
  const control = Control.open(id);
  control?.tell({ kind: "changed", fields });
  control?.close();
}
