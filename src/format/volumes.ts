/** Volumes as `volume ls` and `volume inspect` show them: Docker's field names. */

import type { ListStyle } from "../output.ts";
import { type VolumeRecord, volumeData } from "../storage/volumes.ts";
import { type FilterTests, hasLabel, matchesPattern, parseFlagFilter } from "./filters.ts";
import { mapOrNil } from "./go-values.ts";

export const volumeListStyle: ListStyle = {
  typeName: "volume",
  headings: {
    Driver: "DRIVER",
    Name: "VOLUME NAME",
    Scope: "SCOPE",
    Mountpoint: "MOUNTPOINT",
    Labels: "LABELS",
    Links: "LINKS",
    Size: "SIZE",
    Status: "STATUS",
    Availability: "AVAILABILITY",
    Group: "GROUP",
    Label: (key: string) => key,
  },
  standard: "{{.Driver}}\t{{.Name}}",
};

export const volumeUsageListStyle: ListStyle = {
  ...volumeListStyle,
  standard: "{{.Name}}\t{{.Links}}\t{{.Size}}",
};

/** What takes a look at all files or containers is not known here: Docker's `N/A`. */
export function volumeRow({ name, labels }: VolumeRecord, usage = { Links: "N/A", Size: "N/A" }) {
  return {
    Availability: "N/A",
    Driver: "local",
    Group: "N/A",
    Labels: Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    Mountpoint: volumeData(name),
    Name: name,
    Scope: "local",
    Status: "N/A",
    ...usage,
    Label: (key: string) => (Object.hasOwn(labels, key) ? labels[key] : ""),
  };
}

export function inspectVolume({ name, created, labels }: VolumeRecord) {
  return {
    CreatedAt: created,
    Driver: "local",
    Labels: mapOrNil(Object.keys(labels).length ? labels : null),
    Mountpoint: volumeData(name),
    Name: name,
    Options: mapOrNil<string>(null),
    Scope: "local",
  };
}

/** `volume ls --filter`. `users` are the containers that use each volume. */
export function volumeTests(users: () => Map<string, string[]>): FilterTests<VolumeRecord> {
  return {
    dangling: (value) => {
      const wanted = parseFlagFilter("dangling", value);
      const used = users();
      return ({ name }) => used.has(name) !== wanted;
    },
    driver: (value) => () => value === "local",
    label:
      (value) =>
      ({ labels }) =>
        hasLabel(labels, value),
    name:
      (value) =>
      ({ name }) =>
        matchesPattern(name, value),
  };
}

/** `volume prune --filter`, but `all`. */
export const volumePruneTests: FilterTests<VolumeRecord> = {
  label:
    (value) =>
    ({ labels }) =>
      hasLabel(labels, value),
  "label!":
    (value) =>
    ({ labels }) =>
      !hasLabel(labels, value),
};
