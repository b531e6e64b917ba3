/** A running container: exec, logs, stop and remove. */

import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { atOnce, compare, output, quietly, type Side } from "./measure.ts";
import type { Row } from "./report.ts";
import type { Stage } from "./stage.ts";

type Tool = (...args: string[]) => string[];
const lines = 1_000_000;

export async function life(stage: Stage, { pod, podman }: { pod: Tool; podman: Tool }): Promise<Row[]> {
  const rows: Row[] = [];
  const idle = (tool: Tool) =>
    output(...tool("run", "-d", "--network", "none", "--name", "box", stage.image, "sleep", "900"));
  const remove = (tool: Tool) => tool("rm", "-f", ...(tool === podman ? ["-t", "0"] : [])); // podman else waits ten seconds
  const gone = (tool: Tool) => quietly(...remove(tool), "box");
  const row = async (name: string, unit: "ms" | "s", rounds: number, side: (tool: Tool) => Side) => {
    const { pod: ours, podman: theirs } = await compare(rounds, { pod: side(pod), podman: side(podman) });
    const scale = unit === "s" ? 1000 : 1;
    rows.push({ name, unit, pod: ours / scale, podman: theirs / scale });
  };

  for (const tool of [pod, podman]) idle(tool);
  await row("exec … true", "ms", 15, (tool) => ({ run: tool("exec", "box", "true") }));
  await row("inspect of a container", "ms", 15, (tool) => ({ run: tool("inspect", "box") }));
  const file = join(stage.directory, "200MB");
  writeFileSync(file, randomBytes(200_000_000));
  await row("cp of 200 MB into a running container", "s", 3, (tool) => ({ run: tool("cp", file, "box:/in") }));
  await row("cp of 200 MB out of it", "s", 3, (tool) => ({ run: tool("cp", "box:/in", `${file}.out`) }));
  for (const tool of [pod, podman]) gone(tool);
  const anew = (tool: Tool, ...command: string[]) => {
    gone(tool);
    output(...tool("run", "-d", "--network", "none", "--name", "box", stage.image, ...command));
  };
  await row("rm -f of a running container", "ms", 7, (tool) => ({
    run: [...remove(tool), "box"],
    prepare: () => anew(tool, "sleep", "900"),
  }));
  await row("stop of a program that obeys", "ms", 7, (tool) => ({
    run: tool("stop", "box"),
    prepare: () => {
      anew(tool, "sh", "-c", "trap 'exit 0' TERM; sleep 900 & wait");
      Bun.sleepSync(300); // the trap is set
    },
  }));
  for (const tool of [pod, podman]) anew(tool, "seq", "1", "10");
  await row("logs of 10 lines", "ms", 15, (tool) => ({ run: tool("logs", "box") }));
  for (const tool of [pod, podman]) gone(tool);

  const write = ["sh", "-c", `yes ${"0123456789".repeat(10).slice(1)} | head -n ${lines}`];
  await row("a program writes 1,000,000 lines of 100 bytes", "s", 3, (tool) => ({
    run: tool("run", "--network", "none", "--name", "box", stage.image, ...write),
    prepare: () => gone(tool),
  }));
  await row("logs prints them", "s", 5, (tool) => ({ run: tool("logs", "box") }));
  await row("logs --tail 10 of them", "ms", 10, (tool) => ({ run: tool("logs", "--tail", "10", "box") }));
  for (const tool of [pod, podman]) gone(tool);

  const detached = ["run", "-d", "--network", "none", stage.image, "sleep", "900"];
  const none = (tool: Tool) => {
    const ids = output(...tool("ps", "-aq"))
      .split("\n")
      .filter(Boolean);
    if (ids.length) quietly(...remove(tool), ...ids);
  };
  await row("50 detached starts at once", "s", 2, (tool) => ({
    run: () => atOnce(50, tool(...detached)),
    prepare: () => none(tool),
  }));
  for (const tool of [pod, podman]) none(tool);
  return rows;
}
