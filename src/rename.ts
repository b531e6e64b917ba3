/** Another name for a container. */

import { Control } from "./control.ts";
import { checkName } from "./create.ts";
import { PodError, UsageError } from "./errors.ts";
import { changeName, findContainer } from "./storage/containers.ts";
import { recordContainerEvent } from "./storage/events.ts";

/** Errors are Docker's: UsageError, NotFoundError, PodError where the name is taken or is none. In the user's namespace. */
export function renameContainer(text: string, newName: string): void {
  const name = newName.replace(/^\//, "");
  if (!text || !name) throw new UsageError("Neither old nor new names may be empty");
  const { record } = findContainer(text);
  if (record.name === name) throw new UsageError("Renaming a container with the same name as its current name");
  try {
    changeName(record.id, checkName(name));
  } catch (cause) {
    throw new PodError("Error when allocating new name", { cause });
  }
  const control = Control.open(record.id);
  control?.tell({ kind: "renamed", name });
  control?.close();
  recordContainerEvent("rename", { ...record, name }, { oldName: `/${record.name}` });
}
