/** The standards' own structures: OCI image spec 1.1, distribution spec 1.1 and runtime spec 1.1, as far as pod uses them. */

/** image-spec descriptor.md. `size` in bytes, `digest` like `sha256:<hex>`. */
export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  urls?: string[];
  annotations?: Record<string, string>;
  platform?: Platform;
  artifactType?: string;
}

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
  "os.version"?: string;
  "os.features"?: string[];
}

/** image-spec manifest.md; Docker's schema 2 has the same shape. */
export interface Manifest {
  schemaVersion: 2;
  mediaType?: string;
  config: Descriptor;
  layers: Descriptor[];
  artifactType?: string;
  /** The manifest that this one is about. */
  subject?: Descriptor;
  annotations?: Record<string, string>;
}

/** image-spec image-index.md; Docker's manifest list has the same shape. */
export interface Index {
  schemaVersion: 2;
  mediaType?: string;
  manifests: Descriptor[];
  annotations?: Record<string, string>;
}

/** image-spec config.md, with the fields that Docker adds. */
export interface ImageConfig extends Platform {
  created?: string;
  author?: string;
  config?: {
    User?: string;
    ExposedPorts?: Record<string, object>;
    Env?: string[];
    Entrypoint?: string[] | null;
    Cmd?: string[] | null;
    Volumes?: Record<string, object> | null;
    WorkingDir?: string;
    Labels?: Record<string, string> | null;
    StopSignal?: string;
    Shell?: string[];
    OnBuild?: string[] | null;
    /** Times in nanoseconds. */
    Healthcheck?: {
      Test?: string[];
      Interval?: number;
      Timeout?: number;
      StartPeriod?: number;
      StartInterval?: number;
      Retries?: number;
    };
  };
  rootfs: { type: "layers"; diff_ids: string[] };
  history?: {
    created?: string;
    created_by?: string;
    author?: string;
    comment?: string;
    empty_layer?: boolean;
  }[];
}

export const mediaTypes = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  layerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  layerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerManifestList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
} as const;

/** Go's architecture names, which images use, for this machine. */
export function hostPlatform(): Platform {
  return { os: "linux", architecture: process.arch === "x64" ? "amd64" : "arm64" };
}

/** config.md, "Process". */
export interface RuntimeProcess {
  terminal: boolean;
  user: { uid: number; gid: number; additionalGids: number[]; umask?: number };
  args: string[];
  env: string[];
  cwd: string;
  capabilities: Record<"bounding" | "effective" | "permitted" | "inheritable" | "ambient", string[]>;
  rlimits: { type: string; soft: number; hard: number }[];
  noNewPrivileges: boolean;
  oomScoreAdj?: number;
}

/** runtime-spec config.md. */
export interface RuntimeSpec {
  ociVersion: string;
  process: RuntimeProcess;
  root: { path: string; readonly: boolean };
  hostname?: string;
  domainname?: string;
  mounts: RuntimeMount[];
  linux: {
    namespaces: { type: "pid" | "network" | "ipc" | "uts" | "mount" | "user" | "cgroup"; path?: string }[];
    uidMappings: IdMapping[];
    gidMappings: IdMapping[];
    devices: { type: "c" | "b" | "p"; path: string; major?: number; minor?: number; fileMode?: number }[];
    maskedPaths: string[];
    readonlyPaths: string[];
    sysctl: Record<string, string>;
    rootfsPropagation: "private" | "slave";
  };
  annotations: Record<string, string>;
}

/** Options are mount(8)'s words. */
export interface RuntimeMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

const quiet = ["nosuid", "noexec", "nodev"];

/** With these every container begins: OCI defaults (config-linux.md) with Docker's options. `gids`: those that are mapped. */
export function commonMounts(gids: IdMapping[]): RuntimeMount[] {
  const hasTerminalGroup = gids.some(({ containerID, size }) => containerID <= 5 && containerID + size > 5);
  const terminalGroup = hasTerminalGroup ? ["gid=5"] : []; // with one mapped id there is none
  return [
    { destination: "/proc", type: "proc", source: "proc", options: quiet },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", ...terminalGroup],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: quiet },
  ];
}

export const commonDevices = ["null", "zero", "full", "random", "urandom", "tty"].map((name) => ({
  type: "c" as const,
  path: `/dev/${name}`,
}));

/** user_namespaces(7): ids inside from `containerID` on are the outer ones from `hostID` on. */
export interface IdMapping {
  containerID: number;
  hostID: number;
  size: number;
}
