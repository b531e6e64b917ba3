/** All that is mounted into a container: what was asked for, what other containers and the image bring. Docker's order of what overrides what. */

import { UsageError } from "../errors.ts";
import type { ContainerMount, TmpfsMount, VolumeMount } from "../storage/container-mount.ts";
import { checkTarget, cleanPath } from "./paths.ts";

export interface MountWishes {
  /** Of `-v`, `--mount`, `--device` and `--secret`, parsed. */
  mounts: ContainerMount[];
  /** Of `--tmpfs`; the last of several for one place counts. */
  tmpfs: TmpfsMount[];
  /** What the containers of `--volumes-from` have. */
  inherited: ContainerMount[];
  /** The image's VOLUME. */
  imageVolumes: string[];
  /** Writable folders on a root file system that is read-only. */
  readOnlyTmpfs: boolean;
}

/** `newName` names volumes that nobody has named. Throws UsageError where two are to be mounted on one place. */
export function planMounts(wishes: MountWishes, newName: () => string): ContainerMount[] {
  const tmpfs = new Map(wishes.tmpfs.map((mount) => [mount.destination, mount]));
  const asked = [...wishes.mounts, ...tmpfs.values()];
  const planned = new Map<string, ContainerMount>();
  for (const mount of asked) {
    if (planned.has(mount.destination)) throw new UsageError(`Duplicate mount point: ${mount.destination}`);
    planned.set(mount.destination, mount);
  }
  const inherited = new Map(wishes.inherited.map((mount) => [mount.destination, mount]));
  const imageVolumes = wishes.imageVolumes.map(imageVolume);
  const writable = wishes.readOnlyTmpfs ? ["/run", "/tmp", "/var/tmp"].map(writableFolder) : [];
  for (const mount of [...inherited.values(), ...imageVolumes, ...writable]) {
    if (!planned.has(mount.destination)) planned.set(mount.destination, mount);
  }
  return [...planned.values()].map((mount) =>
    mount.type === "volume" && mount.name === "" ? { ...mount, name: newName() } : mount,
  );
}

/** What a container has that another one can take: files of its own, not its tmpfs and secrets. */
export function inheritMounts(mounts: ContainerMount[], { readonly }: { readonly: boolean }): ContainerMount[] {
  return mounts
    .filter((mount) => (mount.type === "bind" && mount.origin !== "device") || mount.type === "volume")
    .map((mount) => ({ ...mount, readonly: mount.readonly || readonly, origin: "volumes-from" }));
}

/** A relative one begins at the root, as with Docker. */
function imageVolume(path: string): VolumeMount {
  const destination = cleanPath(`/${path}`);
  checkTarget("volume", destination);
  const anonymous = { name: "", anonymous: true, copy: true, flags: [], chown: false, mode: "" };
  return { type: "volume", destination, readonly: false, ...anonymous, origin: "image" };
}

/** As podman makes them. */
function writableFolder(destination: string): TmpfsMount {
  return { type: "tmpfs", destination, readonly: false, options: ["nosuid", "nodev"], copy: true, origin: "read-only" };
}
