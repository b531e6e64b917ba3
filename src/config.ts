/** Where things lie and what the environment says: the one place that reads `process.env`. */

const env = process.env;
const uid = process.getuid!();
/** Empty where it is not set, or means something else in each folder. */
const home = env.HOME?.startsWith("/") ? env.HOME.replace(/\/+$/, "") : "";
/** Real root, not the root of some user namespace: the first one's map changes nothing. */
const isHostRoot =
  uid === 0 &&
  /^\s*0\s+0\s+4294967295\s*$/.test(process.getBuiltinModule("node:fs").readFileSync("/proc/self/uid_map", "utf8"));

/** Settings that keep the engine from starting threads; set for one more try only, and gone at once: children must not see them. */
const singleThreadSettings = {
  BUN_JSC_useConcurrentJIT: "0",
  BUN_JSC_useWarmUpMarkedBlocks: "0",
  MIMALLOC_PURGE_DELAY: "-1",
};
const singleThreadRetry = Object.entries(singleThreadSettings).every(([name, value]) => env[name] === value);
if (singleThreadRetry) for (const name of Object.keys(singleThreadSettings)) delete env[name];

/** Paths and settings of this user. As real root the store lies where the mapped ids can reach it. */
export const config = {
  uid,
  gid: process.getgid!(),
  isHostRoot,
  home: home || "/",
  /** The store; it survives a reboot. */
  dataDir: dataDirectory(),
  dockerConfigDir: env.DOCKER_CONFIG || `${home}/.docker`,
  registryAuthFile: env.REGISTRY_AUTH_FILE,
  registriesConf: env.CONTAINERS_REGISTRIES_CONF,
  xdgConfigHome: env.XDG_CONFIG_HOME || `${home}/.config`,
  xdgCacheHome: env.XDG_CACHE_HOME || `${home}/.cache`,
  xdgRuntimeDir: env.XDG_RUNTIME_DIR,
  sslCertFile: env.SSL_CERT_FILE,
  sslCertDir: env.SSL_CERT_DIR,
  storageDriver: env.STORAGE_DRIVER,
  defaultPlatform: env.DOCKER_DEFAULT_PLATFORM,
  noColor: Boolean(env.NO_COLOR),
  term: env.TERM,
  path: env.PATH || "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  /** For `-e NAME`, which takes the caller's value, and for the proxies' many names. */
  variable: (name: string): string | undefined => env[name],
  /** For `pod unshare`: the caller's own, as execve(2) takes it. */
  environment: (): string[] => Object.entries(env).map(([name, value]) => `${name}=${value}`),
  isCompiled: isCompiled(),
  /** The command line as execve(2) takes it; a compiled program has no script name. */
  argv: isCompiled() ? [process.execPath, ...process.argv.slice(2)] : [...process.argv],
  /** What comes before the arguments where a stage is started as a fresh program: `/proc/self/exe` may be Bun itself. */
  script: isCompiled() ? [] : [process.argv[1]!],
  singleThreadRetry,
  /** For a stage that is started inside the user's namespace: there, `~` would be somebody else's. */
  stageEnvironment: () => ({
    XDG_DATA_HOME: config.dataDir.slice(0, -"/pod".length),
    HOME: config.home,
    PATH: config.path,
  }),
  /** For a monitor that starts itself anew. */
  restartEnvironment: (): string[] =>
    Object.entries({ ...singleThreadSettings, ...config.stageEnvironment() }).map(
      ([name, value]) => `${name}=${value}`,
    ),
  singleThreadEnvironment: (): string[] =>
    Object.entries({ ...env, ...singleThreadSettings }).map(([name, value]) => `${name}=${value}`),
};

/** A compiled program's main module lies in Bun's virtual file system. */
function isCompiled(): boolean {
  return process.argv[1]?.startsWith("/$bunfs/") ?? false;
}

function dataDirectory(): string {
  if (env.XDG_DATA_HOME?.startsWith("/")) return `${env.XDG_DATA_HOME}/pod`;
  return isHostRoot ? "/var/lib/pod" : `${home}/.local/share/pod`;
}
