/** What is mounted into a container, as its record says it: `mounts` of container.json. */

/** What asked for it. `inspect` shows `-v` and `--mount` apart; a later option takes the place of an image's VOLUME. */
export type MountOrigin = "volume" | "mount" | "tmpfs" | "image" | "volumes-from" | "read-only" | "secret" | "device";

/** How mounts of the host's that come later arrive: mount_namespaces(7). The other way is closed to a rootless container. */
export type Propagation = "private" | "rprivate" | "slave" | "rslave";

/** mount(8)'s words. */
export type MountFlag = "nosuid" | "nodev" | "noexec";

interface Common {
  /** Absolute. */
  destination: string;
  readonly: boolean;
  origin: MountOrigin;
}

export interface BindMount extends Common {
  type: "bind";
  /** Of the host, absolute. */
  source: string;
  /** A missing source becomes an empty folder; else it is an error. */
  makesSource: boolean;
  /** With what is mounted below the source. */
  recursive: boolean;
  /** Where it is read-only: whether what is mounted below is so too. */
  recursiveReadonly: boolean;
  propagation: Propagation;
  flags: MountFlag[];
  /** Its files are given to the container's user before the first start: `U`. */
  chown: boolean;
  /** The options of `-v` as given. */
  mode: string;
}

export interface VolumeMount extends Common {
  type: "volume";
  name: string;
  /** Nobody has named it: it goes with the container, `--rm` and `rm -v`. */
  anonymous: boolean;
  /** An empty volume gets what the image has at the destination. */
  copy: boolean;
  /** A file or folder in it, instead of all of it. */
  subpath?: string;
  /** Of a volume that is made for this. */
  labels?: Record<string, string>;
  flags: MountFlag[];
  chown: boolean;
  mode: string;
}

export interface TmpfsMount extends Common {
  type: "tmpfs";
  /** mount(8)'s words. */
  options: string[];
  /** It begins with what the image has at the destination. */
  copy: boolean;
}

/** An image's files; always read-only. */
export interface ImageMount extends Common {
  type: "image";
  /** As the user named it. */
  reference: string;
  /** The config's digest. */
  id: string;
  /** chainIds from the lowest layer up. */
  layers: string[];
  subpath?: string;
}

/** A secret as a file; it is read when the container starts, and never written to disk a second time. */
export interface SecretMount extends Common {
  type: "secret";
  name: string;
  uid: number;
  gid: number;
  /** Permissions. */
  mode: number;
}

export type ContainerMount = BindMount | VolumeMount | TmpfsMount | ImageMount | SecretMount;

/** Names of the volumes that it uses. */
export function volumesOf({ mounts }: { mounts: ContainerMount[] }): string[] {
  return [...new Set(mounts.flatMap((mount) => (mount.type === "volume" ? [mount.name] : [])))];
}

/** Places that got a volume which nobody has named. */
export function anonymousPlaces({ mounts }: { mounts: ContainerMount[] }): string[] {
  return mounts.flatMap((mount) =>
    mount.type === "volume" && mount.anonymous && mount.origin !== "volumes-from" ? [mount.destination] : [],
  );
}

/** Of a record that was written before there were volumes. */
export function formerMounts({ binds = [], tmpfs = [] }: FormerRecord): ContainerMount[] {
  const bind = { makesSource: true, recursive: true, recursiveReadonly: true, flags: [], chown: false };
  return [
    ...binds.map(({ readonly, ...places }): BindMount => {
      const mode = readonly ? "ro" : "";
      return { type: "bind", ...places, readonly, ...bind, propagation: "rprivate", mode, origin: "volume" };
    }),
    ...tmpfs.map((mount): TmpfsMount => {
      return { type: "tmpfs", ...mount, readonly: mount.options.includes("ro"), copy: false, origin: "tmpfs" };
    }),
  ];
}

interface FormerRecord {
  binds?: { source: string; destination: string; readonly: boolean }[];
  tmpfs?: { destination: string; options: string[] }[];
}
