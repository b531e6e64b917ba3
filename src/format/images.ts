/** Images as `images` lists them and `inspect` shows them: Docker's field names. */

import type { ListStyle } from "../output.ts";
import { familiarName, familiarRepository, parseReference } from "../reference.ts";
import type { Image } from "../storage/images.ts";
import { goMap, listOrNil, mapOrNil } from "./go-values.ts";
import { formatAge, formatSize, formatTime, shortId } from "./units.ts";

const columns = {
  Repository: "REPOSITORY",
  Tag: "TAG",
  Digest: "DIGEST",
  ID: "IMAGE ID",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  Size: "SIZE",
};

/** The classic table, with `digests` one column more. */
export function imageListStyle(digests: boolean): ListStyle {
  const shown = ["Repository", "Tag", ...(digests ? ["Digest"] : []), "ID", "CreatedSince", "Size"];
  return { typeName: "image", headings: columns, standard: shown.map((name) => `{{.${name}}}`).join("\t") };
}

/** A row for each name of the image; one with `<none>` where it has none. A digest's name stands only where its repository has no tag. */
export function imageRows(image: Image, { full = false, nowMs = Date.now() } = {}) {
  const names = image.references.map(parseReference);
  const tagged = new Set(names.filter(({ tag }) => tag).map(familiarRepository));
  const shown = names.filter((name) => name.tag || !tagged.has(familiarRepository(name)));
  return (shown.length ? shown : [undefined]).map((name) => ({
    Repository: name ? familiarRepository(name) : "<none>",
    Tag: name?.tag ?? "<none>",
    Digest: name ? (name.digest ?? image.digest) : "<none>",
    ID: full ? image.id : shortId(image.id),
    CreatedSince: image.created ? formatAge(image.created, nowMs) : "N/A",
    CreatedAt: image.created ? formatTime(image.created) : "N/A",
    Size: formatSize(image.sizeBytes),
  }));
}

export function inspectImage(image: Image) {
  const { config = {}, rootfs, author, os, architecture, variant, history } = image.config;
  const names = image.references.map(parseReference);
  const repositories = [...new Set(names.map(familiarRepository))];
  return {
    Id: image.id,
    RepoTags: names.filter(({ tag }) => tag).map((name) => familiarName({ ...name, digest: undefined })),
    RepoDigests: repositories.map((repository) => `${repository}@${image.digest}`),
    Comment: history?.at(-1)?.comment ?? "",
    Created: image.created ?? "",
    Author: author ?? "",
    Config: {
      User: config.User ?? "",
      ExposedPorts: goMap(config.ExposedPorts),
      Env: config.Env ?? [],
      Cmd: listOrNil(config.Cmd),
      Volumes: mapOrNil(config.Volumes),
      WorkingDir: config.WorkingDir ?? "",
      Entrypoint: listOrNil(config.Entrypoint),
      OnBuild: listOrNil(config.OnBuild),
      Labels: goMap(config.Labels),
      StopSignal: config.StopSignal ?? "",
      Shell: listOrNil(config.Shell),
      Healthcheck: config.Healthcheck ?? null,
    },
    Architecture: architecture,
    Variant: variant ?? "",
    Os: os,
    Size: image.sizeBytes,
    RootFS: { Type: rootfs.type, Layers: rootfs.diff_ids },
  };
}
