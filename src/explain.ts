/** `run --explain`: what a run would do, as the data that the run itself carries out. Nothing is started or fetched. */

import { newRecord } from "./container.ts";
import type { CreateOptions } from "./create.ts";
import { probedDriver } from "./driver.ts";
import { NotFoundError } from "./errors.ts";
import { hostAddressFor } from "./name-files.ts";
import { ownDrivers, toOwnNetwork } from "./net/own-network.ts";
import { hostAddress, hostHasIpv6, missingForPing } from "./networks.ts";
import { type CgroupPlan, planCgroup } from "./ns/cgroup.ts";
import { idMaps } from "./ns/mappers.ts";
import { hostSpec } from "./runtimespec.ts";
import type { IdMapping, RuntimeSpec } from "./spec.ts";
import type { ContainerNetworking, ContainerRecord } from "./storage/containers.ts";
import { type RootfsMount, rootfsMount } from "./storage/drivers.ts";
import { findImage, type Image } from "./storage/images.ts";

/** In the order in which it would be done. */
export interface Explanation {
  image: { reference: string; id: string };
  /** The user's own, which all of the user's containers share. */
  userNamespace: { uidMappings: IdMapping[]; gidMappings: IdMapping[] };
  rootfs: RootfsMount;
  network: { mode: string; networks: string[]; command?: string[]; host?: { address: string; hasLoopback: boolean } };
  /** `PID` is that of the container's monitor. */
  cgroup: CgroupPlan;
  /** The container's namespaces, nested in that, and all that happens in them. */
  spec: RuntimeSpec;
  /** What a host, or a pod, with more would do better, and why. */
  degraded: string[];
}

/** Throws what `run` would throw for these options; NotFoundError where the image would have to be pulled. */
export function explain(options: CreateOptions): Explanation {
  const image = findLocal(options.image);
  const record = newRecord(options, image, findLocal);
  const maps = idMaps();
  const { mode } = record.network;
  const cgroup = planCgroup("PID");
  return {
    image: { reference: options.image, id: image.id },
    userNamespace: { uidMappings: maps.uid, gidMappings: maps.gid },
    rootfs: rootfsMount(record),
    network: {
      mode,
      networks: (record.network.endpoints ?? []).map(({ network }) => network),
      ...wayOutOf(record.network),
      ...hostOf(record),
    },
    cgroup,
    spec: hostSpec(record, { uids: maps.uid, gids: maps.gid }),
    degraded: degradations(record, cgroup, maps.singleIdReason),
  };
}

function findLocal(reference: string): Image {
  const image = findImage(reference);
  if (image) return image;
  throw new NotFoundError(`no such image: ${reference}`, {
    hint: `--explain fetches nothing; pull it first: pod pull ${reference}`,
  });
}

function wayOutOf({ mode, own, allowHostLoopback }: ContainerNetworking): { command?: string[] } {
  if (mode !== "slirp4netns" && mode !== "pasta") return {};
  return { command: ownDrivers[mode].commandLine(toOwnNetwork(own, allowHostLoopback, hostHasIpv6())) };
}

/** What the container knows as host.docker.internal, and whether that has the host's loopback too. */
function hostOf(record: ContainerRecord): Pick<Explanation["network"], "host"> {
  const { mode } = record.network;
  const address = mode === "none" || mode === "container" ? undefined : hostAddressFor(record);
  return address === undefined ? {} : { host: { address, hasLoopback: mode === "host" || address !== hostAddress() } };
}

function degradations(
  { driver, userns, network: { mode } }: ContainerRecord,
  cgroup: CgroupPlan,
  singleIdReason: string | undefined,
): string[] {
  const isMapped = driver === "overlay" && userns !== undefined;
  const ping = ["bridge", "slirp4netns", "pasta"].includes(mode) ? missingForPing() : undefined;
  const isSlow = driver === "fuse-overlayfs" && probedDriver().driver === driver;
  return [
    ...(singleIdReason ? [`one id only, files of other owners become yours: ${singleIdReason}`] : []),
    ...(isSlow ? [`files go through fuse-overlayfs, which is slower: ${probedDriver().reason}`] : []),
    ...(isMapped ? ["the image's files go through fuse-overlayfs, which maps their owners: --userns"] : []),
    ...(mode === "host" ? ["the host's network is shared: asked for by --network host"] : []),
    ...(ping ? [`ping reaches other containers, but nothing outside: ${ping}`] : []),
    ...(cgroup.missing ? [`no control group of its own, so pause stops processes by SIGSTOP: ${cgroup.missing}`] : []),
    "no limits: pod sets none yet",
    "no seccomp profile: pod has none yet",
  ];
}
