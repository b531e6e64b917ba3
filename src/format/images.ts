/** Images as `images` lists them and `inspect` shows them: Docker's field names. */

import type { ListStyle } from "../output.ts";
import { familiarName, familiarRepository, parseReference, type Reference } from "../reference.ts";
import type { Image, ImageSummary } from "../storage/images.ts";
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
export function imageRows(image: ImageSummary, { full = false, nowMs = Date.now() } = {}) {
  const names = image.references.map(parseReference);
  const tagged = new Set(names.filter(({ tag }) => tag).map(familiarRepository));
  const shown = names.filter((name) => name.tag || !tagged.has(familiarRepository(name)));
  const digests = digestsOf(names, image.digest);
  return (shown.length ? shown : [undefined]).map((name) => ({
    Repository: name ? familiarRepository(name) : "<none>",
    Tag: name?.tag ?? "<none>",
    Digest: (name && digests.get(familiarRepository(name))) ?? "<none>",
    ID: full ? image.id : shortId(image.id),
    CreatedSince: image.created ? formatAge(image.created, nowMs) : "N/A",
    CreatedAt: image.created ? formatTime(image.created) : "N/A",
    Size: formatSize(image.sizeBytes),
  }));
}

/** By repository: the digest that it was pulled by, which may be an index's; else the manifest's, by which a push would name it. */
function digestsOf(names: Reference[], manifestDigest: string): Map<string, string> {
  const digests = new Map<string, string>();
  for (const name of names) {
    const repository = familiarRepository(name);
    if (name.digest || !digests.has(repository)) digests.set(repository, name.digest ?? manifestDigest);
  }
  return digests;
}

export function inspectImage(image: Image) {
  const { config = {}, rootfs, author, os, architecture, variant, history } = image.config;
  const names = image.references.map(parseReference);
  return {
    Id: image.id,
    RepoTags: names.filter(({ tag }) => tag).map((name) => familiarName({ ...name, digest: undefined })),
    RepoDigests: [...digestsOf(names, image.digest)].map(([repository, digest]) => `${repository}@${digest}`),
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
