/** Whether a volume is what its folder says. */

import { existsSync, lstatSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { formatError } from "../errors.ts";
import type { Report } from "./check.ts";
import { readJson, writeFileAtomic } from "./files.ts";
import { readVolume, type VolumeRecord, volumeData, volumeDir } from "./volumes.ts";

export async function checkVolume(name: string, report: Report): Promise<void> {
  const object = `volume ${name}`;
  const fault = faultOf(name);
  if (!existsSync(volumeDir(name))) return; // removed meanwhile
  if (fault) {
    await report({
      object,
      fault,
      remedy: "`pod system check --repair` writes it again; its labels are lost",
      mend: () => {
        writeFileAtomic(join(volumeDir(name), "volume.json"), JSON.stringify(readVolume(name)));
        return "written again, without labels";
      },
    });
  }
  if (lstatSync(volumeData(name), { throwIfNoEntry: false })?.isDirectory()) return;
  await report({
    object,
    fault: "its files are missing",
    remedy: "`pod system check --repair` makes an empty folder",
    mend: () => {
      mkdirSync(volumeData(name), { mode: 0o755 });
      return "it is empty now";
    },
  });
}

function faultOf(name: string): string | undefined {
  try {
    const record = readJson<VolumeRecord>(join(volumeDir(name), "volume.json"));
    if (!record) return "its volume.json is missing";
    return record.name === name && record.labels ? undefined : "its volume.json is damaged";
  } catch (error) {
    return formatError(error);
  }
}
