/** Mounts as `docker inspect` shows them. */

import { stagedMount } from "../runtimespec.ts";
import type { BindMount, ContainerMount, VolumeMount } from "../storage/container-mount.ts";
import { containerDir } from "../storage/containers.ts";
import { volumeData } from "../storage/volumes.ts";

/** `Mounts`: what `--tmpfs`, `--device` and `--secret` make is told elsewhere. */
export function inspectMounts(id: string, mounts: ContainerMount[]) {
  return mounts.flatMap((mount, index) => {
    const { type, destination, readonly } = mount;
    if (type === "secret" || ["device", "tmpfs", "read-only"].includes(mount.origin)) return [];
    return {
      Type: type,
      ...(type === "volume" && { Name: mount.name }),
      Source: sourceOf(id, mount, index),
      Destination: destination,
      ...(type === "volume" && { Driver: "local" }),
      Mode: type === "volume" ? volumeMode(mount) : type === "bind" ? mount.mode : "",
      RW: !readonly,
      Propagation: type === "bind" ? mount.propagation : "",
    };
  });
}

function sourceOf(id: string, mount: ContainerMount, index: number): string {
  if (mount.type === "bind") return mount.source;
  if (mount.type === "volume") return volumeData(mount.name);
  return mount.type === "image" ? stagedMount(containerDir(id), index) : "";
}

/** Docker's: a volume with a name and without options is `z`. */
function volumeMode({ mode, anonymous }: VolumeMount): string {
  return mode || (anonymous ? "" : "z");
}

/** `HostConfig.Binds`: what `-v` named. */
export function inspectBinds(mounts: ContainerMount[]): string[] {
  return mounts
    .filter((mount): mount is BindMount | VolumeMount => mount.origin === "volume" && "mode" in mount)
    .filter((mount) => !(mount.type === "volume" && mount.anonymous))
    .map((mount) => {
      const source = mount.type === "bind" ? mount.source : mount.name;
      return [source, mount.destination, ...(mount.mode ? [mount.mode] : [])].join(":");
    });
}

/** `HostConfig.Mounts`: what `--mount` asked for. */
export function inspectMountOptions(mounts: ContainerMount[]) {
  return mounts
    .filter(({ origin }) => origin === "mount")
    .map((mount) => ({ Type: mount.type, ...wishOf(mount), Target: mount.destination, ...optionsOf(mount) }));
}

function wishOf(mount: ContainerMount) {
  if (mount.type === "bind") return { Source: mount.source };
  if (mount.type === "volume") return mount.anonymous ? {} : { Source: mount.name };
  return mount.type === "image" ? { Source: mount.reference } : {};
}

function optionsOf(mount: ContainerMount) {
  const { readonly, type } = mount;
  const subpath = "subpath" in mount && mount.subpath !== undefined && { Subpath: mount.subpath };
  return {
    ...(readonly && type !== "image" && { ReadOnly: true }),
    ...(type === "bind" && { BindOptions: bindOptions(mount) }),
    ...(type === "volume" && {
      VolumeOptions: {
        ...(!mount.copy && { NoCopy: true }),
        ...(mount.labels && { Labels: mount.labels }),
        ...subpath,
      },
    }),
    ...(type === "image" && subpath && { ImageOptions: subpath }),
  };
}

function bindOptions({ propagation, recursive, makesSource, readonly, recursiveReadonly }: BindMount) {
  return {
    ...(propagation !== "rprivate" && { Propagation: propagation }),
    ...(!recursive && { NonRecursive: true }),
    ...(makesSource && { CreateMountpoint: true }),
    ...(readonly && !recursiveReadonly && { ReadOnlyNonRecursive: true }),
  };
}

/** `HostConfig.Devices`. */
export function inspectDevices(mounts: ContainerMount[]) {
  return mounts.flatMap((mount) =>
    mount.type === "bind" && mount.origin === "device"
      ? [{ PathOnHost: mount.source, PathInContainer: mount.destination, CgroupPermissions: mount.mode }]
      : [],
  );
}
