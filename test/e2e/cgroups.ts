/** The control group in which the tests run: cgroups(7). */

import {
  accessSync,
  existsSync,
  mkdirSync,
  constants as mode,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";

/** Its directory; undefined where no cgroup v2 is mounted. */
export function ownCgroup(): string | undefined {
  const path = /^0::(\/.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1];
  const mount = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].find((dir) => existsSync(join(dir, "cgroup.procs")));
  return path && mount && join(mount, path);
}

/** Whether its user may make others below it, and start processes there. */
export function isDelegated(): boolean {
  try {
    const probe = join(ownCgroup()!, "probe");
    accessSync(join(ownCgroup()!, "cgroup.procs"), mode.W_OK);
    mkdirSync(probe);
    rmdirSync(probe);
    return true;
  } catch {
    return false;
  }
}

/** One for this process and what it starts: test files that run beside each other would see each other's containers. */
export function enterCgroupOfItsOwn(): void {
  const name = `test-${process.pid}`;
  if (!isDelegated() || basename(ownCgroup()!) === name) return;
  const path = join(ownCgroup()!, name);
  mkdirSync(path);
  writeFileSync(join(path, "cgroup.procs"), "0");
}

/** Containers' control groups whose monitor has ended. */
export function abandonedCgroups(): string[] {
  const own = ownCgroup();
  const names = own && existsSync(own) ? readdirSync(own) : [];
  return names.filter((name) => /^pod-\d+$/.test(name) && !existsSync(`/proc/${name.slice(4)}`));
}
