/** What containers use, as `stats` lists it: Docker's field names. */

import type { ListStyle } from "../output.ts";
import type { ContainerStats } from "../stats.ts";
import { formatBinarySize, formatSize, shortId } from "./units.ts";

export const statsListStyle: ListStyle = {
  typeName: "stats",
  headings: {
    Container: "CONTAINER",
    ID: "CONTAINER ID",
    Name: "NAME",
    CPUPerc: "CPU %",
    MemUsage: "MEM USAGE / LIMIT",
    MemPerc: "MEM %",
    NetIO: "NET I/O",
    BlockIO: "BLOCK I/O",
    PIDs: "PIDS",
  },
  standard: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
};

/** `asked` is what the user called it. */
export function statsRow(stats: ContainerStats, { full, asked }: { full: boolean; asked?: string }) {
  const { record } = stats.container;
  const id = full ? record.id : shortId(record.id);
  const { memoryBytes, memoryLimitBytes } = stats;
  const percent = (value: number) => `${value.toFixed(2)}%`;
  return {
    Container: asked ?? id,
    ID: id,
    Name: record.name,
    CPUPerc: percent(stats.cpuPercent),
    MemUsage: `${formatBinarySize(memoryBytes)} / ${formatBinarySize(memoryLimitBytes)}`,
    MemPerc: percent(memoryLimitBytes ? (memoryBytes * 100) / memoryLimitBytes : 0),
    NetIO: `${formatSize(stats.receivedBytes)} / ${formatSize(stats.sentBytes)}`,
    BlockIO: `${formatSize(stats.readBytes)} / ${formatSize(stats.writtenBytes)}`,
    PIDs: String(stats.tasks),
  };
}
