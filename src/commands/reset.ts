import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { formatSize } from "../format/units.ts";
import * as output from "../output.ts";
import { familiarName, parseReference } from "../reference.ts";
import { type Container, listContainers } from "../storage/containers.ts";
import { type Image, listImages } from "../storage/images.ts";
import { paths } from "../storage/store.ts";
import { listVolumes, type VolumeRecord } from "../storage/volumes.ts";
import { reset } from "../system.ts";

const args = {
  force: { type: "boolean", alias: "f", description: "Do not prompt for confirmation" },
} satisfies OptionDefs;

export default defineCommand({
  meta: {
    name: "reset",
    description: "Remove all containers, images and volumes, and all else that pod keeps on disk",
  },
  args,
  async run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, args);
    if (!options.force) {
      const containers = listContainers(undefined, output.warnOf);
      output.write("stdout", warning(containers, listImages(), listVolumes()));
      if (!confirm("Are you sure you want to continue?")) return;
    }
    await reset();
  },
});

/** Names what goes. */
function warning(containers: Container[], images: Image[], volumes: VolumeRecord[]): string {
  const names = containers.map(
    ({ record, state }) => `${record.name}${state.status === "running" ? " (running)" : ""}`,
  );
  const imageNames = images.flatMap(({ id, references }) =>
    references.length ? references.map((reference) => familiarName(parseReference(reference))) : [id],
  );
  const size = formatSize(images.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
  return [
    "WARNING! This will remove:",
    `  - all containers: ${names.join(", ") || "there are none"}`,
    `  - all images: ${imageNames.join(", ") || "there are none"}${imageNames.length ? ` (${size})` : ""}`,
    `  - all volumes, with the files in them: ${volumes.map(({ name }) => name).join(", ") || "there are none"}`,
    `  - all else in ${paths.root}`,
    "",
    "",
  ].join("\n");
}
