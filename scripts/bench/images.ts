/** What is done with images but pulling them: push, save, load, commit, import, export, remove, list. */

import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { publishBigImage } from "./big.ts";
import { compare, output, quietly, type Side } from "./measure.ts";
import type { Row } from "./report.ts";
import type { Stage } from "./stage.ts";

type Tool = (...args: string[]) => string[];

export async function images(stage: Stage, { pod, podman }: { pod: Tool; podman: Tool }): Promise<Row[]> {
  const rows: Row[] = [];
  const { image: big, layout } = publishBigImage("gzip", stage);
  rmSync(layout, { recursive: true });
  const file = (tool: Tool, name: string) => join(stage.directory, `${tool === pod ? "pod" : "podman"}-${name}`);
  const row = async (name: string, rounds: number, side: (tool: Tool) => Side) => {
    const { pod: ours, podman: theirs } = await compare(rounds, { pod: side(pod), podman: side(podman) });
    rows.push({ name, unit: "s", pod: ours / 1000, podman: theirs / 1000 });
  };

  for (const tool of [pod, podman]) output(...tool("pull", big));
  await row("push of it to where all blobs exist", 3, (tool) => ({ run: tool("push", big) }));
  for (const format of ["oci-archive", "docker-archive"]) {
    const save = (tool: Tool) => ["save", "--format", format, "-o", file(tool, format), big];
    await row(`save --format ${format} of it`, 2, (tool) => ({
      run: tool(...save(tool)),
      prepare: () => rmSync(file(tool, format), { force: true }),
    }));
  }
  for (const format of ["oci-archive", "docker-archive"]) {
    await row(`load of the ${format}`, 1, (tool) => ({
      run: tool("load", "-i", file(tool, format)),
      prepare: () => quietly(...tool("rmi", "-f", big)),
    }));
  }
  const change = ["sh", "-c", "head -c 200000000 /dev/urandom > /change"];
  for (const tool of [pod, podman])
    output(...tool("run", "--name", "changed", "--network", "none", stage.image, ...change));
  await row("commit of a change of 200 MB", 2, (tool) => ({
    run: tool("commit", "changed", "made"),
    prepare: () => quietly(...tool("rmi", "-f", "made")),
  }));
  await row("export of it", 3, (tool) => ({ run: tool("export", "-o", file(tool, "tar"), "changed") }));
  if (statSync(file(pod, "tar")).size < 200e6) throw new Error("the export lacks the change");
  await row("import of that", 2, (tool) => ({
    run: tool("import", file(tool, "tar"), "imported"),
    prepare: () => quietly(...tool("rmi", "-f", "imported")),
  }));
  for (const tool of [pod, podman]) output(...tool("rm", "-f", "changed"));
  await row("rmi of the big image, once it is on disk", 3, (tool) => ({
    run: tool("rmi", "-f", big),
    prepare: () => {
      quietly(...tool("pull", big));
      quietly("sync"); // who removes an image has seldom just pulled it
    },
  }));
  for (const tool of [pod, podman]) {
    output(...tool("pull", stage.image));
    for (let i = 0; i < 500; i++) output(...tool("tag", stage.image, `localhost/many:${i}`));
  }
  const { pod: ours, podman: theirs } = await compare(15, {
    pod: { run: pod("images") },
    podman: { run: podman("images") },
  });
  rows.push({ name: "images, 500 names", unit: "ms", pod: ours, podman: theirs });
  return rows;
}
