/** Secrets as podman shows them. */

import type { ListStyle } from "../output.ts";
import type { SecretRecord } from "../storage/secrets.ts";
import { type FilterTests, hasLabel, matchesPattern } from "./filters.ts";
import { goMap } from "./go-values.ts";
import { formatAge } from "./units.ts";

export const secretListStyle: ListStyle = {
  typeName: "secret",
  headings: { ID: "ID", Name: "NAME", Driver: "DRIVER", CreatedAt: "CREATED", UpdatedAt: "UPDATED", Labels: "LABELS" },
  standard: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}",
};

export function secretRow({ id, name, created, updated, labels }: SecretRecord) {
  return {
    ID: id,
    Name: name,
    Driver: "file",
    CreatedAt: formatAge(created),
    UpdatedAt: formatAge(updated),
    Labels: Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
  };
}

/** Never its bytes, unless they are asked for. */
export function inspectSecret({ id, name, created, updated, labels, data }: SecretRecord, showsData: boolean) {
  return {
    ID: id,
    CreatedAt: created,
    UpdatedAt: updated,
    Spec: { Name: name, Driver: { Name: "file", Options: goMap({}) }, Labels: goMap(labels) },
    ...(showsData && { SecretData: Buffer.from(data, "base64").toString() }),
  };
}

export const secretTests: FilterTests<SecretRecord> = {
  id:
    (value) =>
    ({ id }) =>
      id.startsWith(value),
  label:
    (value) =>
    ({ labels }) =>
      hasLabel(labels, value),
  name:
    (value) =>
    ({ name }) =>
      matchesPattern(name, value),
};
