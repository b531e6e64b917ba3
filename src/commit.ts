/** `commit`: a container's changes as a layer, and its settings as a configuration, become an image. */

import { checkDepth } from "./documents.ts";
import { PodError } from "./errors.ts";
import { hold } from "./hold.ts";
import { applyChanges } from "./instructions.ts";
import { putNewImage } from "./new-image.ts";
import { type Descriptor, type ImageConfig, mediaTypes } from "./spec.ts";
import { changesOfContainer, packChangesOf } from "./storage/container-files.ts";
import { anonymousPlaces } from "./storage/container-mount.ts";
import { type Container, type ContainerRecord, findContainer } from "./storage/containers.ts";
import { recordContainerEvent } from "./storage/events.ts";
import { holdLease, type Image, listImages } from "./storage/images.ts";
import { makeLayer } from "./storage/layer-making.ts";

export interface CommitOptions {
  author: string;
  message: string;
  /** Dockerfile instructions. */
  changes: string[];
  /** Hold a running container's processes meanwhile. */
  pause: boolean;
  /** In full. */
  name?: string;
}

/** The new image. NotFoundError where there is no such container; PodError where the image it was made of is gone. */
export async function commitContainer(text: string, options: CommitOptions): Promise<Image> {
  const container = findContainer(text);
  const { record } = container;
  const base = baseOf(record);
  const settings = applyChanges(settingsOf(record, base), options.changes);
  const lease = holdLease([
    base.id,
    base.digest,
    ...base.manifest.layers.map(({ digest }) => digest),
    ...record.layers,
  ]);
  try {
    const isDocker = base.manifest.mediaType === mediaTypes.dockerManifest;
    const layer = await writeChanges(container, options.pause, isDocker, lease.add);
    checkDepth(base.manifest.layers.length + (layer ? 1 : 0));
    const config = configOf(base, record, settings, options, layer?.diffId);
    const layers = [...base.manifest.layers, ...(layer ? [layer.descriptor] : [])];
    const image = putNewImage({ config, layers, isDocker }, lease.add, options.name);
    recordContainerEvent("commit", record, {
      comment: options.message,
      imageID: image.id,
      imageRef: options.name ?? "",
    });
    return image;
  } finally {
    lease.release();
  }
}

function baseOf({ name, image }: ContainerRecord): Image {
  const base = listImages().find(({ id }) => id === image.id);
  if (base) return base;
  throw new PodError(`commit ${name}: its image ${image.id} was removed`, {
    hint: `pull ${image.reference} again, or use pod export and pod import`,
  });
}

/** The image's settings with those that the container was made with: Docker commits what runs, not what the image says. */
function settingsOf(record: ContainerRecord, { config }: Image): NonNullable<ImageConfig["config"]> {
  const { OnBuild: _, ...kept } = config.config ?? {};
  const { user, env, entrypoint, command, workingDir, stopSignal } = record.process;
  const volumes = [...new Set([...Object.keys(kept.Volumes ?? {}), ...anonymousPlaces(record)])];
  return {
    ...kept,
    User: user,
    ExposedPorts: Object.fromEntries(record.exposedPorts.map((port) => [port, {}])),
    Env: env.filter((entry) => !ownVariables.test(entry)),
    Entrypoint: entrypoint.length ? entrypoint : null,
    Cmd: command.length ? command : null,
    WorkingDir: workingDir,
    Healthcheck: record.health?.check ?? (config.config?.Healthcheck ? { Test: ["NONE"] } : undefined),
    Labels: record.labels,
    ...(volumes.length > 0 && { Volumes: Object.fromEntries(volumes.map((path) => [path, {}])) }),
    StopSignal: stopSignal,
  };
}

/** What pod gives to every container. */
const ownVariables = /^(HOSTNAME|TERM|container)=/;

/** Undefined where nothing was changed: then the image gets no layer, as with Docker. */
async function writeChanges(
  container: Container,
  pause: boolean,
  isDocker: boolean,
  reserve: (names: string[]) => void,
): Promise<{ diffId: string; descriptor: Descriptor } | undefined> {
  const { record } = container;
  const release = pause ? hold(container) : undefined;
  try {
    if (changesOfContainer(record).next().done) return undefined;
    const chunks = async function* () {
      yield* packChangesOf(record);
    };
    const { diffId, blob } = await makeLayer(chunks(), record.layers, reserve);
    return { diffId, descriptor: { mediaType: isDocker ? mediaTypes.dockerLayer : mediaTypes.layer, ...blob } };
  } finally {
    release?.();
  }
}

function configOf(
  { config: base, manifest }: Image,
  record: ContainerRecord,
  settings: ImageConfig["config"],
  { author, message }: CommitOptions,
  diffId: string | undefined,
): ImageConfig {
  const created = new Date().toISOString();
  const step = {
    created,
    created_by: record.process.command.join(" "),
    ...(author && { author }),
    ...(message && { comment: message }),
    ...(!diffId && { empty_layer: true }),
  };
  const before = base.history ?? manifest.layers.map(() => ({ created: base.created })); // one step for each layer, or none may be there
  const { architecture, os, variant } = base;
  return {
    created,
    ...(author && { author }),
    architecture,
    os,
    ...(variant && { variant }),
    config: settings,
    rootfs: { type: "layers", diff_ids: [...base.rootfs.diff_ids, ...(diffId ? [diffId] : [])] },
    history: [...before, step],
  };
}
