/** `pod chown`: files that containers have made come back to the user. In the user's namespace, where root is the user. */

import { config } from "./config.ts";
import { NotFoundError, PodError } from "./errors.ts";
import { existsSync } from "./ns/sys/fs.ts";
import { type Changed, changeOwners } from "./storage/chown.ts";

/** All below `path`. Throws NotFoundError, and PodError for real root, who needs no help and has other ids in there. */
export function giveBack(path: string): Changed {
  if (config.isHostRoot) throw new PodError("pod chown is for rootless users: chown(1) does it for root");
  if (!existsSync(path)) throw new NotFoundError(`chown ${path}: no such file or directory`);
  return changeOwners(path, ({ uid, gid }) => (uid === 0 && gid === 0 ? undefined : { uid: 0, gid: 0 }));
}
