/** Other programs that read and write images, run by the user who runs the tests. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Host } from "./harness.ts";

/** What the program printed, without the last newline. Fails with its words where it does. */
export async function run(command: string[], options: { cwd: string; env?: Record<string, string> }): Promise<string> {
  const child = Bun.spawn(command, { ...options, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${command.join(" ")}: exit code ${code}\n${stderr}`);
  return stdout.replace(/\n$/, "");
}

/** skopeo, in the host's folder for work. */
export function skopeo(host: Host, ...args: string[]): Promise<string> {
  const env = { ...host.env, XDG_DATA_HOME: join(host.work, "skopeo") };
  return run(["skopeo", "--insecure-policy", ...args], { cwd: host.work, env });
}

/** podman with a store of its own in the host's folder for work; in a namespace of ours, where it leaves no process behind. */
export function podman(host: Host, ...args: string[]): Promise<string> {
  const dir = (name: string) => join(host.work, "podman", name);
  mkdirSync(dir("xdg"), { recursive: true });
  const places = ["--root", dir("root"), "--runroot", dir("run"), "--tmpdir", dir("tmp"), "--storage-driver", "vfs"];
  const command = ["podman", ...places, "--events-backend", "none", "--cgroup-manager", "cgroupfs", ...args];
  const inside = ["unshare", "--map-root-user", "--map-auto", "--mount"];
  return run([...inside, ...command], { cwd: host.work, env: { ...host.env, XDG_RUNTIME_DIR: dir("xdg") } });
}
