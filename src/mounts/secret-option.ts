/** `--secret`: `NAME[,target=…,uid=…,gid=…,mode=…]`, podman's words; `id=` and `source=` are Docker's. */

import { UsageError } from "../errors.ts";
import type { SecretMount } from "../storage/container-mount.ts";
import { splitFields } from "./fields.ts";
import { checkTarget, cleanPath } from "./paths.ts";

/** Throws UsageError. */
export function parseSecret(text: string): SecretMount {
  const given = new Map<string, string>();
  splitFields(text).forEach((field, index) => {
    const at = field.indexOf("=");
    if (at === -1 && index > 0) throw new UsageError(`invalid secret option '${field}': must be a key=value pair`);
    const key = at === -1 ? "source" : field.slice(0, at).toLowerCase();
    given.set(["id", "src"].includes(key) ? "source" : key, field.slice(at + 1));
  });
  const {
    source,
    type = "mount",
    target = source,
    uid = "0",
    gid = "0",
    mode = "444",
    ...rest
  } = Object.fromEntries(given);
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw new UsageError(`unexpected key '${unknown}' in '${text}'`);
  if (!source || !target) throw new UsageError(`no secret is named in '${text}'`);
  if (type !== "mount") {
    throw new UsageError(`secrets of type ${type} are not supported: only mount is`, {
      hint: "an environment variable is shown to everybody who may look at the process",
    });
  }
  if (!/^[0-7]{1,4}$/.test(mode)) throw new UsageError(`invalid mode for secret ${source}: ${mode}`);
  for (const id of [uid, gid]) if (!/^\d+$/.test(id)) throw new UsageError(`invalid id for secret ${source}: ${id}`);
  const destination = target.startsWith("/") ? target : `/run/secrets/${target}`;
  checkTarget("secret", destination);
  return {
    type: "secret",
    name: source,
    destination: cleanPath(destination),
    readonly: true,
    uid: Number(uid),
    gid: Number(gid),
    mode: Number.parseInt(mode, 8),
    origin: "secret",
  };
}
