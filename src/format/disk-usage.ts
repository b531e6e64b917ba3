/** What is on disk, as `system df` lists it: Docker's field names. */

import type { ListStyle } from "../output.ts";
import type { ContainerUsage, DiskUsage, ImageUsage, Total, VolumeUsage } from "../storage/diskusage.ts";
import { containerListStyle, containerRow } from "./containers.ts";
import { imageListStyle, imageRows } from "./images.ts";
import { formatSize } from "./units.ts";
import { volumeRow } from "./volumes.ts";

export const totalListStyle: ListStyle = {
  typeName: "disk usage",
  headings: { Type: "TYPE", TotalCount: "TOTAL", Active: "ACTIVE", Size: "SIZE", Reclaimable: "RECLAIMABLE" },
  standard: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
};

export const imageUsageListStyle: ListStyle = {
  typeName: "image",
  headings: {
    ...imageListStyle(false).headings,
    SharedSize: "SHARED SIZE",
    UniqueSize: "UNIQUE SIZE",
    Containers: "CONTAINERS",
  },
  standard: `${imageListStyle(false).standard}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}`,
};

export const containerUsageListStyle: ListStyle = {
  typeName: "container",
  headings: containerListStyle(true).headings,
  standard: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
};

/** Downloads are a kind of their own: pod keeps those that were cut off for seven days. */
export function totalRows({ totals }: DiskUsage) {
  return [
    totalRow("Images", totals.images),
    totalRow("Containers", totals.containers),
    totalRow("Local Volumes", totals.volumes),
    totalRow("Interrupted Pulls", totals.partials),
  ];
}

function totalRow(type: string, { total, active, sizeBytes, reclaimableBytes }: Total) {
  const share = sizeBytes > 0 ? ` (${Math.floor((reclaimableBytes * 100) / sizeBytes)}%)` : "";
  return {
    Type: type,
    TotalCount: String(total),
    Active: String(active),
    Size: formatSize(sizeBytes, 4),
    Reclaimable: `${formatSize(reclaimableBytes, 4)}${share}`,
  };
}

export function imageUsageRows({ image, sharedBytes, containers }: ImageUsage) {
  return imageRows(image).map((row) => ({
    ...row,
    SharedSize: formatSize(sharedBytes),
    UniqueSize: formatSize(image.sizeBytes - sharedBytes),
    Containers: String(containers.length),
  }));
}

export function containerUsageRow({ container, sizeBytes }: ContainerUsage) {
  return { ...containerRow(container), Size: formatSize(sizeBytes, 4) };
}

export function volumeUsageRow({ volume, sizeBytes, containers }: VolumeUsage) {
  return volumeRow(volume, { Links: String(containers.length), Size: formatSize(sizeBytes, 4) });
}
