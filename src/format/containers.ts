/** Containers as `ps` lists them. */

import type { ContainerSizes } from "../container-sizes.ts";
import type { ListStyle } from "../output.ts";
import { type ContainerMount, volumesOf } from "../storage/container-mount.ts";
import { monitorKilled } from "../storage/container-state.ts";
import type { Container } from "../storage/containers.ts";
import { networkNames } from "./network-names.ts";
import { formatPorts } from "./ports.ts";
import { formatAge, formatDuration, formatSize, formatTime, shortId } from "./units.ts";

const headings = {
  ID: "CONTAINER ID",
  Image: "IMAGE",
  Command: "COMMAND",
  CreatedAt: "CREATED AT",
  RunningFor: "CREATED",
  State: "STATE",
  Status: "STATUS",
  Ports: "PORTS",
  Names: "NAMES",
  Labels: "LABELS",
  LocalVolumes: "LOCAL VOLUMES",
  Mounts: "MOUNTS",
  Networks: "NETWORKS",
  Platform: "PLATFORM",
  Label: (key: string) => key,
};
const standard = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

/** With `sizes` one column more, of rows that have one. */
export function containerListStyle(sizes: boolean): ListStyle {
  if (!sizes) return { typeName: "container", headings, standard };
  return { typeName: "container", headings: { ...headings, Size: "SIZE" }, standard: `${standard}\t{{.Size}}` };
}

/** One row; `{{.Label "key"}}` asks for a label. An image that has lost its name, `imageIsNamed` false, is shown by its id. */
export function containerRow(
  { record, state }: Container,
  { full = false, nowMs = Date.now(), imageIsNamed = true } = {},
) {
  const command = record.process.args.join(" ");
  const mounts = record.mounts.map(mountName);
  const name = imageIsNamed ? record.image.reference : record.image.id;
  return {
    ID: full ? record.id : shortId(record.id),
    Image: full || !/^(sha256:)?[0-9a-f]{64}$/.test(name) ? name : shortId(name),
    Command: JSON.stringify(full ? command : shorten(command, 20)),
    CreatedAt: formatTime(record.created),
    RunningFor: formatAge(record.created, nowMs),
    State: shownStatus(state),
    Status: `${formatStatus(state, nowMs)}${policyNote(record, state)}`,
    Ports: formatPorts(record.exposedPorts, state.ports),
    Names: record.name,
    Labels: Object.entries(record.labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    LocalVolumes: String(volumesOf(record).length),
    Mounts: mounts.map((path) => (full ? path : shorten(path, 15))).join(","),
    Networks: networkNames(record.network).join(","),
    Platform: record.image.platform,
    Label: (key: string) => (Object.hasOwn(record.labels, key) ? record.labels[key] : ""),
  };
}

function mountName(mount: ContainerMount): string {
  if (mount.type === "bind") return mount.source;
  if (mount.type === "volume") return mount.name;
  return mount.type === "image" ? mount.reference : mount.destination;
}

/** Docker has more words than there are states: a container that is paused or about to be restarted still runs to it. */
export function shownStatus(state: Container["state"]): string {
  return state.paused ? "paused" : state.restarting ? "restarting" : state.status;
}

/** The row with Docker's `4.1kB (virtual 8.1MB)`. */
export function withSize<T extends object>(row: T, { writableBytes, totalBytes }: ContainerSizes) {
  return { ...row, Size: `${formatSize(writableBytes)} (virtual ${formatSize(totalBytes)})` };
}

/** A container that its policy would have started again, had somebody been there to do it. */
function policyNote({ restart }: Container["record"], { error, stopped }: Container["state"]): string {
  return restart.name !== "no" && error === monitorKilled && !stopped ? `, not restarted: ${monitorKilled}` : "";
}

/** `Created`, `Up 5 minutes`, `Exited (137) 2 seconds ago`. */
export function formatStatus(state: Container["state"], nowMs = Date.now()): string {
  if (state.status === "running") {
    return `Up ${formatDuration(nowMs - Date.parse(state.started ?? ""))}${state.paused ? " (Paused)" : healthNote(state.health)}`;
  }
  if (state.status === "created") return "Created";
  if (state.restarting) return `Restarting (${state.exitCode ?? 0}) ${formatAge(state.finished, nowMs)}`.trimEnd();
  return `Exited (${state.exitCode ?? 0}) ${formatAge(state.finished, nowMs)}`.trimEnd();
}

function healthNote(health: Container["state"]["health"]): string {
  if (!health) return "";
  return health.status === "starting" ? " (health: starting)" : ` (${health.status})`;
}

/** Docker's ellipsis: `length` characters, the last of them `…`. */
function shorten(text: string, length: number): string {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join("")}…`;
}
