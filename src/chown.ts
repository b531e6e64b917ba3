/** `pod chown`: files that containers have made come back to the user. In the user's namespace, where root is the user. */

import { NotFoundError } from "./errors.ts";
import { existsSync } from "./ns/sys/fs.ts";
import { type Changed, changeOwners } from "./storage/chown.ts";

/** All below `path`, which is none of pod's own. Throws NotFoundError. */
export function giveBack(path: string): Changed {
  if (!existsSync(path)) throw new NotFoundError(`chown ${path}: no such file or directory`);
  return changeOwners(path, ({ uid, gid }) => (uid === 0 && gid === 0 ? undefined : { uid: 0, gid: 0 }));
}
