/** Where things lie and what the environment says: the one place that reads `process.env`. */

import { join } from "node:path";

const env = process.env;
const uid = process.getuid!();

/** Paths and settings of this user. As real root the store lies where the mapped ids can reach it. */
export const config = {
  uid,
  gid: process.getgid!(),
  home: env.HOME || "/",
  /** The store; it survives a reboot. */
  dataDir: dataDirectory(),
  /** Sockets only; named after the user where XDG_RUNTIME_DIR is unset. */
  runtimeDir: runtimeDirectory(),
  dockerConfigDir: env.DOCKER_CONFIG || join(env.HOME || "/", ".docker"),
  registryAuthFile: env.REGISTRY_AUTH_FILE,
  registriesConf: env.CONTAINERS_REGISTRIES_CONF,
  xdgConfigHome: env.XDG_CONFIG_HOME || join(env.HOME || "/", ".config"),
  xdgRuntimeDir: env.XDG_RUNTIME_DIR,
  storageDriver: env.STORAGE_DRIVER,
  defaultPlatform: env.DOCKER_DEFAULT_PLATFORM,
  noColor: Boolean(env.NO_COLOR),
  term: env.TERM,
  path: env.PATH || "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  /** For `-e NAME`, which takes the caller's value. */
  variable: (name: string): string | undefined => env[name],
};

function dataDirectory(): string {
  if (env.XDG_DATA_HOME?.startsWith("/")) return join(env.XDG_DATA_HOME, "pod");
  return uid === 0 ? "/var/lib/pod" : join(env.HOME || "/", ".local/share/pod");
}

function runtimeDirectory(): string {
  if (env.XDG_RUNTIME_DIR?.startsWith("/")) return join(env.XDG_RUNTIME_DIR, "pod");
  return uid === 0 ? "/run/pod" : `/tmp/pod-run-${uid}`;
}
