/** Commands that take several names do what they can, and then fail for the others. */

import { formatError, NotFoundError } from "../errors.ts";
import * as output from "../output.ts";

/** Runs the action for each name. With `force` a name that does not exist is told, but is no failure, as with Docker. */
export async function forEach(names: string[], force: boolean, action: (name: string) => Promise<void> | void) {
  const errors: unknown[] = [];
  for (const name of names) {
    try {
      await action(name);
    } catch (error) {
      if (force && error instanceof NotFoundError) output.write("stderr", `pod: ${formatError(error)}\n`);
      else errors.push(error);
    }
  }
  if (errors.length) throw new AggregateError(errors);
}
