/** Container records: one folder each, `containers/<id>/`. The record never changes but by rename and update; the state does. */

/** What the user asked for, complete: `container.json`. Written once, before anything runs. */
export interface ContainerRecord {
  version: 1;
  /** 64 hexadecimal digits. */
  id: string;
  name: string;
  /** RFC 3339, UTC. */
  created: string;
  image: {
    /** As the user named it: `alpine`. */
    reference: string;
    /** The config's digest, `sha256:…`. */
    id: string;
    /** Platform of the image, `linux/amd64`. */
    platform: string;
  };
  /** Storage driver; `auto` never changes it later. */
  driver: "overlay" | "fuse-overlayfs";
  /** chainIds from the lowest layer up. */
  layers: string[];
  process: {
    /** Entrypoint and command together: what runs. */
    args: string[];
    entrypoint: string[];
    command: string[];
    /** `NAME=value`, complete. */
    env: string[];
    /** As given by `-u` or the image; resolved against the container's own passwd at start. */
    user: string;
    workingDir: string;
    tty: boolean;
    openStdin: boolean;
    init: boolean;
    stopSignal: string;
  };
  hostname: string;
  labels: Record<string, string>;
  exposedPorts: string[];
  readonlyRootfs: boolean;
  autoRemove: boolean;
  network: { mode: "slirp4netns" | "host" | "none"; allowHostLoopback: boolean };
  /** `name:ip`, as `--add-host` takes them. */
  extraHosts: string[];
  shmSizeBytes: number;
  binds: { source: string; destination: string; readonly: boolean }[];
  tmpfs: { destination: string; options: string[] }[];
}

/** A process that can be told from a later one with the same pid. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since boot: proc(5) stat field 22. */
  startTime: number;
  bootId: string;
}

/** What became of it: `state.json`, rewritten whole at each change. */
export interface ContainerState {
  status: "created" | "running" | "exited";
  /** The container's PID 1 as the host sees it, while it runs. */
  init?: ProcessIdentity;
  monitor?: ProcessIdentity;
  exitCode?: number;
  /** Why it could not be started, or what pod noticed: for `inspect` and `ps`. */
  error?: string;
  /** RFC 3339, UTC. */
  started?: string;
  finished?: string;
}

export interface Container {
  record: ContainerRecord;
  state: ContainerState;
}
