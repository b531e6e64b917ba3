/** Pulls of a big image: time, processor and memory, beside podman and beside tar alone. */

import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeBigImage } from "./bigimage.ts";
import { compare, output, quietly, usage } from "./measure.ts";
import type { Row } from "./report.ts";
import type { Stage } from "./stage.ts";

type Tool = (...args: string[]) => string[];

export async function bigPulls(stage: Stage, tools: { pod: Tool; podman: Tool }): Promise<Row[]> {
  const rows: Row[] = [];
  for (const compression of ["gzip", "zstd"] as const) rows.push(...(await pullOf(compression, stage, tools)));
  return rows;
}

/** Makes the image in the registry. Its layers stay in `layout` until the caller removes that. */
export function publishBigImage(compression: "gzip" | "zstd", stage: Stage) {
  const layout = join(stage.directory, `big-${compression}`);
  const layers = writeBigImage(layout, compression);
  const image = `${stage.address}/bench/big-${compression}:latest`;
  const copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"];
  output(...copy, `oci:${layout}`, `docker://${image}`);
  return { layout, layers, image };
}

async function pullOf(compression: "gzip" | "zstd", stage: Stage, { pod, podman }: { pod: Tool; podman: Tool }) {
  const { layout, layers, image } = publishBigImage(compression, stage);
  const pull = (tool: Tool) => ({ run: tool("pull", image), prepare: () => quietly(...tool("rmi", "-f", image)) });
  const sides = { pod: pull(pod), podman: pull(podman), untar: untarOf(layers, compression, stage) };
  const times = await compare(2, sides);
  const used = {
    pod: await usage(sides.pod),
    podman: await usage(sides.podman),
    untar: await usage(sides.untar),
  };
  for (const side of [sides.pod, sides.podman, sides.untar]) side.prepare();
  rmSync(layout, { recursive: true });

  const name = `pull 8 layers, 40,000 files, 500 MB (${compression})`;
  const otherName = `tar --${compression}, one after the other`;
  const row = (what: string, unit: string, figure: (side: keyof typeof sides) => number): Row => {
    const [ours, theirs, other] = [figure("pod"), figure("podman"), figure("untar")];
    return { name: what, unit, pod: ours, podman: theirs, other, otherName };
  };
  return [
    row(name, "s", (side) => times[side] / 1000),
    row("the same, processor time", "s", (side) => used[side].cpuSeconds),
    row("the same, peak memory of all processes", "MB", (side) => used[side].peakBytes / 1e6),
  ];
}

function untarOf(layers: string[], compression: string, stage: Stage) {
  const target = join(stage.directory, "untar-big");
  const script = 'for layer; do tar --extract --$C --file "$layer" --directory "$T" || exit; done';
  const variables = [`C=${compression}`, `T=${target}`];
  return {
    run: ["env", ...variables, "sh", "-c", script, "sh", ...layers],
    prepare: () => {
      rmSync(target, { recursive: true, force: true });
      mkdirSync(target);
    },
  };
}
