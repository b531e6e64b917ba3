/** Runs every comparison and prints the table. Started by scripts/bench/run as an unprivileged user. */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, homedir, loadavg } from "node:os";
import { join, resolve } from "node:path";
import { compile } from "../compile.ts";
import { bigPulls } from "./big.ts";
import { files } from "./files.ts";
import { images } from "./images.ts";
import { life } from "./life.ts";
import { atOnce, compare, output, privateBytes, quietly, usage } from "./measure.ts";
import { network } from "./network.ts";
import { type Row, table } from "./report.ts";
import { openStage } from "./stage.ts";

const pod = (...args: string[]) => [resolve(process.env.POD_BINARY || "dist/pod"), ...args];
// Its own choice is the slow driver vfs (full copies) where no fuse-overlayfs is configured.
const podmanOptions = ["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--storage-driver", "overlay"];
const podman = (...args: string[]) => ["podman", ...podmanOptions, ...args];
const rows: Row[] = [];

/** Each adds its rows to the table. */
const groups: Record<string, () => Promise<unknown>> = {
  pulls,
  big: async () => rows.push(...(await bigPulls(stage, { pod, podman }))),
  images: async () => rows.push(...(await images(stage, { pod, podman }))),
  starts,
  life: async () => rows.push(...(await life(stage, { pod, podman }))),
  small,
  lists,
  memory,
  network: async () => rows.push(...(await network(stage, { pod, podman }))),
  files: async () => rows.push(...(await files(stage, { pod, podman }))),
};
const [rootfs, ...asked] = process.argv.slice(2);
const unknown = asked.find((name) => !(name in groups));
if (unknown) throw new Error(`unknown group ${unknown}; there are ${Object.keys(groups).join(", ")}`);

const stage = await openStage(rootfs === "-" ? undefined : rootfs);
try {
  trustRegistry(stage.image);
  for (const name of asked.length ? asked : Object.keys(groups)) {
    await groups[name]!();
    console.error(table(rows)); // what there is by now, should a later group fail
  }
  console.log(machine());
  console.log(table(rows));
} finally {
  quietly(...pod("system", "reset", "-f"));
  quietly(...podman("rm", "--all", "--force", "--time", "0"));
  quietly(...podman("system", "reset", "--force"));
  quietly(...podman("system", "migrate")); // ends its pause process
  await stage.close();
}

/** Both programs read this file. */
function trustRegistry(reference: string): void {
  const directory = join(homedir(), ".config/containers");
  mkdirSync(directory, { recursive: true });
  const location = JSON.stringify(reference.split("/")[0]);
  writeFileSync(join(directory, "registries.conf"), `[[registry]]\nlocation = ${location}\ninsecure = true\n`);
}

async function pulls(): Promise<void> {
  const { image, manyFiles, manyFilesTar, directory } = stage;
  const pull = (reference: string) => ({
    pod: { run: pod("pull", reference), prepare: () => quietly(...pod("rmi", "-f", reference)) },
    podman: { run: podman("pull", reference), prepare: () => quietly(...podman("rmi", "-f", reference)) },
  });
  const one = await compare(7, pull(image));
  rows.push({
    name: "pull the image from loopback",
    unit: "ms",
    pod: one.pod,
    podman: one.podman,
  });

  const target = join(directory, "untar");
  const prepare = () => {
    rmSync(target, { recursive: true, force: true });
    mkdirSync(target);
  };
  const untar = { run: ["tar", "-xzf", manyFilesTar, "-C", target], prepare };
  const sides = { ...pull(manyFiles), untar };
  const many = await compare(3, sides);
  rows.push({
    name: "pull a layer of 40,000 files",
    unit: "s",
    pod: many.pod / 1000,
    podman: many.podman / 1000,
    other: many.untar / 1000,
    otherName: "tar -xzf",
  });
  rows.push({
    name: "the same, peak memory of all processes",
    unit: "MB",
    pod: (await usage(sides.pod)).peakBytes / 1e6,
    podman: (await usage(sides.podman)).peakBytes / 1e6,
    other: (await usage(untar)).peakBytes / 1e6,
    otherName: "tar -xzf",
  });
  rmSync(target, { recursive: true, force: true });
  for (const tool of [pod, podman]) quietly(...tool("rmi", "-f", manyFiles));
}

async function starts(): Promise<void> {
  const { image, bundle } = stage;
  const none = ["run", "--rm", "--network", "none", image, "true"];
  const crun = ["crun", "--cgroup-manager=disabled", "run", "--bundle", bundle, `bench-${process.pid}`];
  const isolated = await compare(20, {
    pod: { run: pod(...none) },
    podman: { run: podman(...none) },
    crun: { run: crun },
  });
  rows.push({
    name: "run --rm --network none … true",
    unit: "ms",
    pod: isolated.pod,
    podman: isolated.podman,
    other: isolated.crun,
    otherName: "crun",
  });
  const online = ["run", "--rm", image, "true"];
  const networked = await compare(15, { pod: { run: pod(...online) }, podman: { run: podman(...online) } });
  const { pod: ours, podman: theirs } = networked;
  rows.push({ name: "run --rm … true", unit: "ms", pod: ours, podman: theirs });
  const sixteen = await compare(3, {
    pod: { run: () => atOnce(16, pod(...none)) },
    podman: { run: () => atOnce(16, podman(...none)) },
  });
  const total = { pod: sixteen.pod / 1000, podman: sixteen.podman / 1000 };
  rows.push({ name: "16 of run --network none at once", unit: "s", ...total });
}

async function small(): Promise<void> {
  const source = join(stage.directory, "nothing.ts");
  const nothing = join(stage.directory, "nothing");
  writeFileSync(source, "export {};\n");
  compile([source], nothing);
  const result = await compare(40, {
    pod: { run: pod("version") },
    podman: { run: podman("version") },
    nothing: { run: [nothing] },
  });
  rows.push({
    name: "version",
    unit: "ms",
    pod: result.pod,
    podman: result.podman,
    other: result.nothing,
    otherName: "a program that does nothing",
  });
}

async function lists(): Promise<void> {
  await list(0);
  for (let i = 0; i < 100; i++) {
    for (const tool of [pod, podman])
      output(...tool("run", "--network", "none", "--name", `bench${i}`, stage.image, "true"));
  }
  await list(100);
  for (const tool of [pod, podman]) output(...tool("rm", "-f", ...Array.from({ length: 100 }, (_, i) => `bench${i}`)));
}

async function list(count: number): Promise<void> {
  const result = await compare(20, { pod: { run: pod("ps", "-a") }, podman: { run: podman("ps", "-a") } });
  const { pod: ours, podman: theirs } = result;
  rows.push({ name: `ps -a, ${count} containers`, unit: "ms", pod: ours, podman: theirs });
}

/**
 * Private memory of the process that looks after one idle container: pod's monitor, podman's conmon. There are two of
 * each, since pages of the executable count as private to a process that is alone in using them.
 */
async function memory(): Promise<void> {
  for (const tool of [pod, podman]) {
    for (const name of ["idle", "idle2"]) {
      output(...tool("run", "-d", "--network", "none", "--name", name, stage.image, "sleep", "600"));
    }
  }
  await Bun.sleep(2000);
  const id = output(...pod("inspect", "--format", "{{.Id}}", "idle"));
  const store = join(process.env.XDG_DATA_HOME || join(homedir(), ".local/share"), "pod");
  const state = JSON.parse(readFileSync(join(store, "containers", id, "state.json"), "utf8"));
  const conmon = output(...podman("inspect", "--format", "{{.State.ConmonPid}}", "idle"));
  rows.push({
    name: "memory of an idle container's monitor",
    unit: "MB",
    pod: privateBytes(pod, state.monitor.pid) / 1e6,
    podman: privateBytes(podman, Number(conmon)) / 1e6,
  });
  for (const tool of [pod, podman]) output(...tool("rm", "-f", "idle", "idle2"));
}

function machine(): string {
  const version = (...command: string[]) =>
    output(...command)
      .split("\n")[0]!
      .replace(/^\D*/, "");
  const tools = ["podman", "runc", "crun"].map((tool) => `${tool} ${version(tool, "--version")}`).join(", ");
  const host = `${cpus().length} × ${cpus()[0]!.model.trim()}, Linux ${output("uname", "-r")}, load ${loadavg()[0]!.toFixed(1)}`;
  return `Medians; image: ${stage.imageName}. ${host}. ${tools}.\n`;
}
