/** Drives the compiled binary as the user who runs the tests, in directories of its own, and checks that nothing stays behind. */

import { afterAll, beforeAll, describe, setDefaultTimeout, test } from "bun:test";
import { accessSync, existsSync, mkdirSync, mkdtempSync, constants as mode } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { enterCgroupOfItsOwn, isDelegated } from "./cgroups.ts";
import { forceRemove, leftovers, processesNow, processesOf } from "./leftovers.ts";
import { exitCode, openSession, type Session } from "./terminal.ts";

/** What is tested: POD_BINARY, else what scripts/build.ts made. */
export const binary = resolve(process.env.POD_BINARY || join(import.meta.dir, "../../dist/pod"));

/** A container that goes when it ends, with nothing of pod's own on stderr; without a network it starts sooner. */
export const quietRun = ["run", "--rm", "--quiet", "--network", "none"];

export type Driver = "overlay" | "fuse-overlayfs" | "btrfs" | "vfs";

/** A directory on btrfs, which scripts/as-user makes where it runs as root. */
const btrfsDir = process.env.POD_TEST_BTRFS;

export interface Result {
  /** As a shell sees it: 128+n where a signal ended the command. */
  code: number;
  stdout: string;
  stderr: string;
  /** stdout as it came. */
  bytes: Buffer;
}

export interface RunOptions {
  /** Given whole, then EOF; without it stdin is empty. */
  stdin?: string | Uint8Array;
  env?: Record<string, string>;
  cwd?: string;
  timeoutSeconds?: number;
  /** As in a login session, whose control group is root's. */
  outside?: boolean;
}

enterCgroupOfItsOwn();

/** scripts/as-user moves the processes whose pids are written to it; where it could not, there is nothing to leave. */
const door = process.env.POD_TEST_CGROUP_DOOR;
const leave =
  'group=$(</proc/$$/cgroup); echo $$ >"$0"; while [ "$(</proc/$$/cgroup)" = "$group" ]; do :; done; exec "$@"';
const leaveCgroup = door ? ["bash", "-c", leave, door] : [];

/** A home, a store and a runtime directory that only one test file's containers use. */
export class Host {
  /** Short, since sockets below it must stay under 108 bytes (unix(7)). */
  base = "";
  /** What each command is started by: see outside.ts. */
  launcher: string[] = [];
  private before = new Set<string>();

  constructor(
    private readonly driver?: Driver,
    private readonly onBtrfs = driver === "btrfs",
  ) {}

  open(): void {
    this.base = mkdtempSync(join(this.onBtrfs ? btrfsDir! : tmpdir(), "h"));
    for (const name of ["home", "data", "r", "tmp", "work"]) mkdirSync(join(this.base, name), { mode: 0o700 });
    this.before = processesNow();
  }

  /** pod's store. */
  get dataDir(): string {
    return join(this.base, "data/pod");
  }
  get home(): string {
    return join(this.base, "home");
  }
  /** For files that a test makes. */
  get work(): string {
    return join(this.base, "work");
  }

  get env(): Record<string, string> {
    return {
      PATH: process.env.PATH ?? "/usr/bin:/bin",
      HOME: this.home,
      TMPDIR: join(this.base, "tmp"),
      XDG_DATA_HOME: join(this.base, "data"),
      XDG_RUNTIME_DIR: join(this.base, "r"),
      ...(this.driver && { STORAGE_DRIVER: this.driver }),
    };
  }

  pod(...args: string[]): Promise<Result> {
    return this.podWith({}, ...args);
  }

  podOutside(...args: string[]): Promise<Result> {
    return this.podWith({ outside: true }, ...args);
  }

  async podWith(options: RunOptions, ...args: string[]): Promise<Result> {
    const { stdin, cwd = this.work, timeoutSeconds = 30 } = options;
    const child = Bun.spawn([...(options.outside ? leaveCgroup : []), ...this.launcher, binary, ...args], {
      stdio: [stdin === undefined ? "ignore" : new Blob([stdin]), "pipe", "pipe"],
      cwd,
      env: { ...this.env, ...options.env },
    });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, timeoutSeconds * 1000);
    const [bytes, stderr] = await Promise.all([new Response(child.stdout).bytes(), new Response(child.stderr).text()]);
    await child.exited;
    clearTimeout(timer);
    const stdout = Buffer.from(bytes).toString();
    if (late) throw new Error(`pod ${args.join(" ")}: no end after ${timeoutSeconds} s\n${stdout}${stderr}`);
    return { code: exitCode(child)!, stdout, stderr, bytes: Buffer.from(bytes) };
  }

  /** Runs a shell script in a container of its own; `options` are those of `pod run`, before the image's name. */
  sh(script: string, ...options: string[]): Promise<Result> {
    return this.pod(...quietRun, ...options, "starter", "sh", "-c", script);
  }

  /** What the script printed, without the last newline; fails where it does. */
  async shOutput(script: string, ...options: string[]): Promise<string> {
    return await this.must(...quietRun, ...options, "starter", "sh", "-c", script);
  }

  /** Fails where pod does; its stdout without the last newline. */
  async must(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.pod(...args);
    if (code !== 0) throw new Error(`pod ${args.join(" ")}: exit code ${code}\n${stderr}`);
    return stdout.replace(/\n$/, "");
  }

  /** Starts pod and leaves it running, for signals and for kills. */
  spawn(...args: string[]): Bun.Subprocess<"pipe", "pipe", "pipe"> {
    const pipes = { stdin: "pipe", stdout: "pipe", stderr: "pipe" } as const;
    return Bun.spawn([...this.launcher, binary, ...args], { ...pipes, cwd: this.work, env: this.env });
  }

  /** Starts pod on a terminal. */
  session(...args: string[]): Session {
    return openSession([...this.launcher, binary, ...args], { ...this.env, TERM: "xterm" }, this.work);
  }

  /** Processes, mounts, sockets and temporary files of pod's that are here now, one line each. */
  leftovers(): string[] {
    return leftovers(this.base, this.before);
  }

  /** Pids of pod's processes that are here now. */
  processes(): number[] {
    return processesOf(this.base, this.before).map(Number);
  }

  /** What is left of finished containers while images stay; processes have five seconds to end. */
  async leftoversWithoutImages(): Promise<string[]> {
    const image = /^file: .*\/data\/pod\/(blobs|layers|l)\//;
    return await lastOf(() => this.leftovers().filter((line) => !image.test(line)));
  }

  /** Resets the store and fails where anything of it is still there after five seconds. */
  async close(): Promise<void> {
    const reset = await this.pod("system", "reset", "-f");
    const left = await lastOf(() => this.leftovers());
    forceRemove(this.base);
    if (reset.code !== 0) throw new Error(`pod system reset -f: exit code ${reset.code}\n${reset.stderr}`);
    if (left.length > 0) throw new Error(`left behind:\n${left.join("\n")}`);
  }
}

/** What it finds at last: nothing, or what is still there after five seconds. */
async function lastOf(find: () => string[]): Promise<string[]> {
  for (const deadline = performance.now() + 5000; ; await Bun.sleep(100)) {
    const found = find();
    if (found.length === 0 || performance.now() > deadline) return found;
  }
}

export async function newHost(options: { driver?: Driver; onBtrfs?: boolean } = {}): Promise<Host> {
  const host = new Host(options.driver, options.onBtrfs);
  host.open();
  return host;
}

/** Runs a group of tests once for each storage driver, each with a host of its own. */
export function onBothDrivers(name: string, tests: (host: Host, driver: Driver) => void): void {
  onDrivers(["overlay", "fuse-overlayfs"], name, tests);
}

/** The same on all of them: for what drivers do themselves. */
export function onAllDrivers(name: string, tests: (host: Host, driver: Driver) => void): void {
  onDrivers(["overlay", "fuse-overlayfs", "btrfs", "vfs"], name, tests);
}

function onDrivers(drivers: Driver[], name: string, tests: (host: Host, driver: Driver) => void): void {
  setDefaultTimeout(60_000); // goes for the file that calls
  for (const driver of drivers) {
    requires(driver).describe(`${name} on ${driver}`, () => {
      const host = new Host(driver);
      beforeAll(() => host.open());
      afterAll(() => host.close(), 60_000);
      tests(host, driver);
    });
  }
}

/** What a kernel or a container that we run in may truly lack; what a package can bring is no reason to skip a test. */
const features = {
  overlay: () => tryOverlay(),
  "fuse-overlayfs": () => isUsable("/dev/fuse"),
  btrfs: () => btrfsDir !== undefined,
  vfs: () => true,
  "/dev/net/tun": () => isUsable("/dev/net/tun"),
  "a control group of the user's own": () => isDelegated(),
};

/** `requires("overlay").test(name, …)`: a test that is skipped, and says why in its name, where the host lacks the feature. */
export function requires(feature: keyof typeof features) {
  const has = (known[feature] ??= features[feature]());
  const reason = has ? "" : ` (skipped: this host lacks ${feature})`;
  return {
    test: (name: string, run: () => void | Promise<void>) => test.skipIf(!has)(name + reason, run),
    describe: (name: string, run: () => void) => describe.skipIf(!has)(name + reason, run),
  };
}
const known: Partial<Record<keyof typeof features, boolean>> = {};

function isUsable(device: string): boolean {
  if (!existsSync(device)) return false;
  accessSync(device, mode.R_OK | mode.W_OK); // there but closed is a fault of the set-up, not of the host
  return true;
}

/** overlay(5): a mount in a user namespace needs Linux 5.11, `userxattr` 5.13, and an upper layer that is no overlay itself. */
function tryOverlay(): boolean {
  const dir = mkdtempSync(join(tmpdir(), "o"));
  for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(join(dir, name));
  const options = "userxattr,lowerdir=lower,upperdir=upper,workdir=work";
  const mount = ["unshare", "-rm", "mount", "-t", "overlay", "-o", options, "overlay", "merged"];
  const { exitCode } = Bun.spawnSync(mount, { cwd: dir, stderr: "ignore" });
  forceRemove(dir);
  return exitCode === 0;
}

/** A function for the shell in a container: `ask ADDRESS PORT` gives what is said there, as soon as somebody listens. */
export const ask =
  "ask() { for i in 1 2 3 4 5 6 7 8 9; do nc -w 2 $1 $2 </dev/null 2>/dev/null && return; sleep 0.2; done; return 1; }";
