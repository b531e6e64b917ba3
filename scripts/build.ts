/** Builds dist/pod, one file; with `--all` also for the other architecture. Usage: bun scripts/build.ts [--all] */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile, run } from "./compile.ts";
import { type Busybox, installedBusybox, starterImage } from "./starter.ts";

process.chdir(join(import.meta.dir, ".."));
const define = ["--define", `POD_COMMIT=${JSON.stringify(gitCommit())}`];
/** The stages are loaded in copies of the process: src/ns/stage.ts. */
const entries = ["src/main.ts", "src/monitor.ts", "src/health-monitor.ts", "src/container-mounts.ts", "src/ns/init.ts"];
const busybox = installedBusybox();

mkdirSync("dist", { recursive: true });
if (process.argv.includes("--all")) buildOther(busybox.architecture === "amd64" ? "arm64" : "amd64");
writeFileSync("dist/starter.tar", starterImage(busybox));
compile(entries, "dist/pod", define);
console.log("built dist/pod");
writeFileSync("dist/NOTICE", notice());

/** With `--dirty`, a build of changed files says so; outside a git checkout the commit is not known. */
function gitCommit(): string {
  if (!existsSync(".git") || !Bun.which("git")) return "";
  const describe = ["git", "-c", "safe.directory=*", "describe", "--always", "--dirty", "--exclude=*"];
  return Bun.spawnSync(describe, { stderr: "ignore" }).stdout.toString().trim();
}

/** What the network doesn't give is said and done without: no runtime, no build; no busybox, no starter image in it. */
function buildOther(architecture: Busybox["architecture"]): void {
  const directory = mkdtempSync(join(tmpdir(), "pod-build-"));
  const outfile = `dist/pod-linux-${architecture}`;
  try {
    const runtime = attempt(`not built: ${outfile}`, () => fetchRuntime(architecture, directory));
    if (!runtime) return;
    const other = attempt(`${outfile} gets no starter image`, () => fetchBusybox(architecture, directory));
    writeFileSync("dist/starter.tar", other ? starterImage(other) : "");
    const target = `bun-linux-${architecture === "arm64" ? "arm64" : "x64"}`;
    compile(entries, outfile, [...define, `--target=${target}`, `--compile-executable-path=${runtime}`]);
    console.log(`built ${outfile}`);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function attempt<T>(otherwise: string, action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    console.error(`${otherwise}: ${(error as Error).message}`);
    return undefined;
  }
}

/** Bun for the other architecture, in the version that runs this script. */
function fetchRuntime(architecture: string, directory: string): string {
  const name = `@oven/bun-linux-${architecture === "arm64" ? "aarch64" : "x64"}`;
  run(["npm", "pack", "--silent", "--pack-destination", directory, `${name}@${Bun.version}`]);
  const archive = readdirSync(directory).find((file) => file.endsWith(".tgz"))!;
  run(["tar", "-xzf", join(directory, archive), "-C", directory]);
  return join(directory, "package/bin/bun");
}

/** Debian's package for the other architecture, by apt with lists of its own: the host's package state stays as it is. */
function fetchBusybox(architecture: Busybox["architecture"], directory: string): Busybox {
  const lists = join(directory, "lists");
  mkdirSync(join(lists, "partial"), { recursive: true });
  const settings = [`APT::Architecture=${architecture}`, `Dir::State::lists=${lists}`, `Dir::Cache=${directory}`];
  const options = [...settings, "APT::Sandbox::User=", "APT::Update::Error-Mode=any"].flatMap((option) => [
    "-o",
    option,
  ]);
  run(["apt-get", "-qq", ...options, "update"]);
  run(["apt-get", "-qq", ...options, "download", "busybox-static"], directory);
  const archive = readdirSync(directory).find((file) => file.endsWith(".deb"))!;
  run(["dpkg-deb", "--extract", join(directory, archive), directory]);
  return {
    ...busybox, // the applets are those of this machine's: Debian builds all architectures alike
    architecture,
    file: join(directory, "bin/busybox"),
    copyright: join(directory, "usr/share/doc/busybox-static/copyright"),
  };
}

function notice(): string {
  return `pod is MIT licensed; see LICENSE in its repository.

The file contains Bun (MIT; https://github.com/oven-sh/bun, which lists what it is made of in LICENSE.md) and the npm
packages citty, consola, nanotar and ofetch with destr, node-fetch-native and ufo (all MIT).

It carries, as data, a starter image with BusyBox, a program of its own under the GNU General Public License, version 2
(https://busybox.net). The executable is Debian's package busybox-static${busyboxVersion()}, unchanged; its source is in
Debian's archive (\`apt-get source busybox\`, https://snapshot.debian.org/package/busybox/), its licence in the image
under /usr/share/doc/busybox/copyright.
`;
}

function busyboxVersion(): string {
  if (!Bun.which("dpkg-query")) return "";
  const status = Bun.spawnSync(["dpkg-query", "--status", "busybox-static"], { stderr: "ignore" }).stdout.toString();
  const version = /^Version: (.+)$/m.exec(status)?.[1];
  return version ? ` ${version}` : "";
}
