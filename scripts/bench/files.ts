/** Files in containers: many small ones, a walk, and a large one, on each driver and in a volume, beside podman and the host. */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tar } from "../tar.ts";
import { alternate, output, quietly } from "./measure.ts";
import type { Row } from "./report.ts";
import { manyFiles, type Stage } from "./stage.ts";

type Tool = (...args: string[]) => string[];
const fileCount = 20_000;
const rounds = 3;

/** Seconds of each step, by /proc/uptime: that of the container's start and end is none of theirs. */
const script = `t() { read now rest < /proc/uptime; echo $now; }
  mkdir -p "$1"; cd "$1"; t; tar -xf "$2"; t; find . | wc -l > /dev/null; t
  dd if=/dev/zero of=large bs=1M count=1024 conv=fsync 2>/dev/null; t`;

export async function files(stage: Stage, tools: { pod: Tool; podman: Tool }): Promise<Row[]> {
  const input = join(stage.directory, "input");
  mkdirSync(input);
  writeFileSync(join(input, "many.tar"), tar([...manyFiles(fileCount)], 0));
  const places = { overlay: overlays(tools), "fuse-overlayfs": fuseOverlays(stage, tools), "a volume": volumes(tools) };
  const rows: Row[] = [];
  for (const [place, { pod, podman, end }] of Object.entries(places)) {
    const within = (run: (...args: string[]) => string[]) => async () =>
      toSteps(output(...run("-v", `${input}:/in:ro`), "sh", "-c", script, "sh", "/work", "/in/many.tar"));
    const found = await alternate(rounds, {
      pod: within((...args) => pod(...args, stage.image)),
      podman: within((...args) => podman(...args, stage.image)),
      host: () => onHost(stage, join(input, "many.tar")),
    });
    end();
    const names = [`untar of ${fileCount} small files`, "find over them", "1 GB written and synced"];
    names.forEach((name, index) => {
      const [ours, theirs, other] = [found.pod[index]!, found.podman[index]!, found.host[index]!];
      rows.push({ name: `${name}, ${place}`, unit: "s", pod: ours, podman: theirs, other, otherName: "host's folder" });
    });
  }
  rmSync(input, { recursive: true });
  return rows;
}

function toSteps(text: string): number[] {
  const times = text.split("\n").map(Number);
  return times.slice(1).map((time, index) => time - times[index]!);
}

const run = ["run", "--rm", "--network", "none"];

/** What starts a container that has an empty /work on what is measured; its options and image follow. */
interface Place {
  pod: Tool;
  podman: Tool;
  end: () => void;
}

function overlays({ pod, podman }: { pod: Tool; podman: Tool }): Place {
  return {
    pod: (...args) => pod(...run, ...args),
    podman: (...args) => podman(...run, ...args),
    end() {},
  };
}

/** podman's store knows one driver's options only: it has another one for this. */
function fuseOverlays({ directory, image }: Stage, { pod, podman }: { pod: Tool; podman: Tool }): Place {
  const folder = (name: string) => join(directory, "fuse", name);
  const options = ["--storage-opt", "overlay.mount_program=/usr/bin/fuse-overlayfs"];
  const store = ["--root", folder("root"), "--runroot", folder("run"), ...options];
  const other: Tool = (...args) => podman(...store, ...args);
  output(...other("pull", image));
  return {
    pod: (...args) => pod(...run, "--storage-driver", "fuse-overlayfs", ...args),
    podman: (...args) => other(...run, ...args),
    end: () => {
      quietly(...other("rmi", "--all", "--force"));
      quietly(...podman("unshare", "rm", "-rf", folder("")));
    },
  };
}

function volumes({ pod, podman }: { pod: Tool; podman: Tool }): Place {
  const anew =
    (tool: Tool): Tool =>
    (...args) => {
      quietly(...tool("volume", "rm", "bench"));
      return tool(...run, "-v", "bench:/work", ...args);
    };
  return {
    pod: anew(pod),
    podman: anew(podman),
    end: () => {
      for (const tool of [pod, podman]) quietly(...tool("volume", "rm", "bench"));
    },
  };
}

async function onHost({ directory }: Stage, archive: string): Promise<number[]> {
  const folder = join(directory, "host");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const steps = toSteps(output("busybox", "sh", "-c", script, "sh", folder, archive));
  rmSync(folder, { recursive: true });
  return steps;
}
