/** Finds what pod left behind: processes, mounts, sockets and files that belong to one test host. */

import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { abandonedCgroups } from "./cgroups.ts";

/** What pod's own processes are called (proc(5): comm). */
const names = ["pod", "pod monitor", "pod init", "pod ports", "pod sync", "fuse-overlayfs", "slirp4netns"];
/** Others use it too: ours has its network's namespace as descriptor 0. */
const pastaNames = ["pasta", "passt", "passt.avx2"];

/** Every process there is, as `pid/start time`: a pid alone may be used again. */
export function processesNow(): Set<string> {
  return new Set(pids().map(identity));
}

/** What is here now of the host whose paths lie in the directory `base`, one line each. */
export function leftovers(base: string, before: Set<string>): string[] {
  const found: string[] = [];
  for (const pid of processesOf(base, before)) found.push(`process ${pid}: ${shown(pid)}`);
  for (const pid of pids().filter((pid) => !isZombie(pid))) {
    const mounts = lines(read(`/proc/${pid}/mountinfo`)).filter((line) => line.includes(base));
    for (const mount of mounts) found.push(`mount in process ${pid} (${shown(pid)}): ${mount}`);
  }
  const sockets = lines(read("/proc/net/unix")).filter((line) => line.includes(base));
  const files = ["data", "r", "tmp"].flatMap((directory) => filesBelow(join(base, directory))).filter(isNoFrame);
  for (const name of abandonedCgroups()) found.push(`control group: ${name}`);
  return [...found, ...sockets.map((line) => `socket: ${line}`), ...files.map((file) => `file: ${file}`)];
}

/**
 * The processes that name `base` in their arguments or environment; or, where they have none that can be read, those
 * with one of pod's names that were not there `before`.
 */
export function processesOf(base: string, before: Set<string>): string[] {
  return pids().filter((pid) => {
    if (isZombie(pid) || Number(pid) === process.pid) return false;
    const [command, environment] = ["cmdline", "environ"].map((file) => read(`/proc/${pid}/${file}`));
    if (command?.includes(base) || environment?.includes(base)) return true;
    const name = () => read(`/proc/${pid}/comm`)?.trim() ?? "";
    const isNamed = () =>
      names.includes(name()) || (pastaNames.includes(name()) && command?.includes("/proc/self/fd/0") === true);
    return environment === undefined && !before.has(identity(pid)) && isNamed() && isOurs(pid, base);
  });
}

function shown(pid: string): string | undefined {
  return read(`/proc/${pid}/cmdline`)?.replaceAll("\0", " ").trim() || read(`/proc/${pid}/comm`)?.trim();
}

/**
 * An empty store keeps its marker, its two files of an OCI image layout, what it knows of the host and the files that are locked; and the record of
 * a process that held the user's namespace outlives it until the next command looks.
 */
function isNoFrame(file: string): boolean {
  const holder = /\/data\/pod\/run\/(\d+)$/.exec(file)?.[1];
  if (holder) return existsSync(`/proc/${holder}`);
  return !/\/data\/pod\/(\.pod-store|oci-layout|reserve|events|boot|index\.json|driver\.json|networks\/[^/]+\/(network\.json|slirp4netns\.log)|single-id-noted|userns-noted|locks\/[^/]+)$/.test(
    file,
  );
}

function pids(): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
}

/** proc(5) stat, from the field after the command's name on: state is the first, start time the twentieth. */
function stat(pid: string): string[] {
  const text = read(`/proc/${pid}/stat`) ?? "";
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

function identity(pid: string): string {
  return `${pid}/${stat(pid)[19]}`;
}

/** Not another user's of this host (subordinate ids begin at 100000, subuid(5)), nor of another run of these tests. */
function isOurs(pid: string, base: string): boolean {
  const uid = Number(/^Uid:\t(\d+)/m.exec(read(`/proc/${pid}/status`) ?? "")?.[1]);
  if (uid !== process.getuid?.() && uid < 100_000) return false;
  const parent = read(`/proc/${stat(pid)[1]}/environ`);
  return !parent || parent.includes(base) || !parent.includes("XDG_DATA_HOME=");
}

/** Our own killed children stay zombies until Bun reaps them; anybody's zombies hold nothing. */
function isZombie(pid: string): boolean {
  return stat(pid)[0] === "Z";
}

function lines(text: string | undefined): string[] {
  return (text ?? "").split("\n");
}

function filesBelow(directory: string): string[] {
  try {
    // Not `recursive`: Bun follows symlinks there, and an image's may lead in circles.
    return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
      const path = join(directory, entry.name);
      return entry.isDirectory() ? filesBelow(path) : [path];
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    return [`${directory}: ${(error as Error).message}`];
  }
}

/** Undefined where the process is gone or is not ours to read. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** Removes a directory in which files may belong to subordinate ids. */
export function forceRemove(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch {
    const inside = ["unshare", "--map-root-user", "--map-auto", "rm", "-rf", directory];
    const { exitCode, stderr } = Bun.spawnSync(inside, { stderr: "pipe" });
    if (exitCode !== 0) throw new Error(`remove ${directory}: ${stderr}`);
  }
}
