/** Events as `docker events` prints them: one line each, or a template's fields. */

import { UsageError } from "../errors.ts";
import { formatObject } from "../output.ts";
import { eventTypes, type PodEvent } from "../storage/events.ts";
import { type FilterTests, hasLabel } from "./filters.ts";
import { goMap } from "./go-values.ts";

/** Without a format `2026-01-02T12:00:00.123456789+01:00 container die 0123… (exitCode=0, image=alpine, name=web)`. */
export function formatEvent(event: PodEvent, format: string | undefined): string {
  if (format === undefined) return formatLine(event);
  if (format === "json" || format === "{{json .}}") return toJson(event);
  return formatObject(toFields(event), format, "event");
}

function formatLine({ timeNs, type, action, id, attributes }: PodEvent): string {
  const details = Object.entries(goMap(attributes)).map(([key, value]) => `${key}=${value}`);
  return `${formatLocalTime(BigInt(timeNs))} ${type} ${action} ${id} (${details.join(", ")})`;
}

/** RFC 3339 with nine digits, in the zone of whoever reads. */
function formatLocalTime(timeNs: bigint): string {
  const seconds = Number(timeNs / 1_000_000_000n);
  const offset = -new Date(seconds * 1000).getTimezoneOffset();
  const local = new Date((seconds + offset * 60) * 1000).toISOString().slice(0, 19);
  const two = (value: number) => String(Math.trunc(Math.abs(value))).padStart(2, "0");
  const zone = offset === 0 ? "Z" : `${offset < 0 ? "-" : "+"}${two(offset / 60)}:${two(offset % 60)}`;
  return `${local}.${String(timeNs % 1_000_000_000n).padStart(9, "0")}${zone}`;
}

function toFields({ type, action, id, attributes, timeNs }: PodEvent) {
  return {
    Status: action,
    ID: id,
    From: attributes.image ?? "",
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: goMap(attributes) },
    Scope: "local",
    Time: Number(BigInt(timeNs) / 1_000_000_000n),
    TimeNano: BigInt(timeNs),
  };
}

/** The names that Docker's API has for the same. A number of 19 digits is none that JavaScript could write. */
function toJson(event: PodEvent): string {
  const { Status, ID, From, Type, Action, Actor, Scope, Time } = toFields(event);
  const known = { status: Status, id: ID, ...(From && { from: From }), Type, Action, Actor, scope: Scope, time: Time };
  return `${JSON.stringify(known).slice(0, -1)},"timeNano":${event.timeNs}}`;
}

export const eventTests: FilterTests<PodEvent> = {
  container:
    (value) =>
    ({ type, id, attributes }) =>
      type === "container" && (id.startsWith(value) || attributes.name === value),
  event:
    (value) =>
    ({ action }) =>
      action === value || action.startsWith(`${value}: `),
  image:
    (value) =>
    ({ type, id, attributes }) => {
      const name = type === "image" ? attributes.name : attributes.image;
      return [name, name?.replace(/:[^/]*$/, "")].includes(value) || (type === "image" && id === value);
    },
  label:
    (value) =>
    ({ attributes }) =>
      hasLabel(attributes, value),
  network:
    (value) =>
    ({ type, id, attributes }) =>
      type === "network" && (id.startsWith(value) || attributes.name === value),
  scope: (value) => () => value === "local",
  type: (value) => {
    if (eventTypes.some((known) => known === value)) return ({ type }) => type === value;
    throw new UsageError(`invalid filter 'type=${value}'`, { hint: `the types are ${eventTypes.join(", ")}` });
  },
  volume:
    (value) =>
    ({ type, id }) =>
      type === "volume" && id === value,
};
