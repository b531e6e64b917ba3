/** A container as `docker inspect` shows it: Docker's field names, as far as pod has what they tell. */

import type { AutoIds, ContainerIds } from "../container-ids.ts";
import type { ContainerSizes } from "../container-sizes.ts";
import { maskedPaths, readonlyPaths } from "../runtimespec.ts";
import type { IdMapping } from "../spec.ts";
import { anonymousPlaces } from "../storage/container-mount.ts";
import type { Container } from "../storage/containers.ts";
import { containerDir } from "../storage/containers.ts";
import { hasOwnTree } from "../storage/drivers.ts";
import { jsonLogFile } from "../storage/json-log.ts";
import { layerDir } from "../storage/layers.ts";
import { logFile } from "../storage/log-format.ts";
import { shownStatus } from "./containers.ts";
import { goMap, listOrNil, mapOrNil } from "./go-values.ts";
import { inspectBinds, inspectDevices, inspectMountOptions, inspectMounts } from "./mounts.ts";
import { networkMode, networkSettings } from "./networks.ts";
import { portBindings } from "./ports.ts";

const zeroTime = "0001-01-01T00:00:00Z"; // Go's time.Time that was never set

export function inspectContainer({ record, state }: Container, sizes?: ContainerSizes) {
  const dir = containerDir(record.id);
  const { process: program } = record;
  const volumes = anonymousPlaces(record);
  return {
    Id: record.id,
    Created: record.created,
    Path: program.args[0] ?? "",
    Args: program.args.slice(1),
    State: inspectState(state),
    Image: record.image.id,
    ResolvConfPath: `${dir}/resolv.conf`,
    HostnamePath: `${dir}/hostname`,
    HostsPath: `${dir}/hosts`,
    LogPath: logPath(record),
    Name: `/${record.name}`,
    RestartCount: state.restartCount ?? 0,
    Driver: record.driver,
    Platform: record.image.platform.split("/")[0],
    MountLabel: "",
    ProcessLabel: "",
    AppArmorProfile: "",
    ExecIDs: listOrNil<string>(null),
    HostConfig: hostConfig(record),
    GraphDriver: {
      Name: record.driver,
      Data: mapOrNil(
        hasOwnTree(record.driver)
          ? undefined
          : {
              LowerDir: record.layers.toReversed().map(layerDir).join(":"),
              MergedDir: `${dir}/rootfs`,
              UpperDir: `${dir}/upper`,
              WorkDir: `${dir}/work`,
            },
      ),
    },
    ...(sizes && { SizeRw: sizes.writableBytes, SizeRootFs: sizes.totalBytes }),
    Mounts: inspectMounts(record.id, record.mounts),
    Config: {
      Hostname: record.hostname,
      Domainname: "",
      User: program.user,
      ExposedPorts: goMap(record.exposedPorts.map((port) => [port, {}] as const)),
      Tty: program.tty,
      OpenStdin: program.openStdin,
      StdinOnce: program.stdinOnce,
      Env: program.env,
      Cmd: listOrNil(program.command),
      Healthcheck: record.health?.check,
      Image: record.image.reference,
      Volumes: mapOrNil(volumes.length ? Object.fromEntries(volumes.map((path) => [path, {}])) : null),
      WorkingDir: program.workingDir,
      Entrypoint: listOrNil(program.entrypoint),
      Labels: goMap(record.labels),
      StopSignal: program.stopSignal,
      StopTimeout: record.stopTimeoutSeconds,
    },
    NetworkSettings: networkSettings({ record, state }),
  };
}

function inspectHealth({ status, failingStreak, log }: NonNullable<Container["state"]["health"]>) {
  return {
    Status: status,
    FailingStreak: failingStreak,
    Log: log.map(({ start, end, exitCode, output }) => ({
      Start: start,
      End: end,
      ExitCode: exitCode,
      Output: output,
    })),
  };
}

function logPath({ id, log }: Container["record"]): string {
  return { local: logFile(id), "json-file": jsonLogFile(id), none: "" }[log.driver];
}

function usernsMode(ids: ContainerIds | undefined): string {
  if (!ids) return "";
  return ids.mode === "auto" ? ids.mode : `${ids.mode}:uid=${ids.uid},gid=${ids.gid}`;
}

/** podman's field, and its words: `container id:id of the user's namespace:size`. */
function idMappings({ uidMappings, gidMappings }: AutoIds) {
  const words = (mappings: IdMapping[]) =>
    mappings.map(({ containerID, hostID, size }) => `${containerID}:${hostID}:${size}`);
  return { UidMap: words(uidMappings), GidMap: words(gidMappings) };
}

function inspectState(state: Container["state"]) {
  const isRunning = state.status === "running";
  return {
    Status: shownStatus(state),
    Running: isRunning || state.restarting === true,
    Paused: state.paused === true,
    Restarting: state.restarting === true,
    OOMKilled: false,
    Dead: false,
    Pid: isRunning ? (state.init?.pid ?? 0) : 0,
    ExitCode: state.exitCode ?? 0,
    Error: state.error ?? "",
    StartedAt: state.started ?? zeroTime,
    FinishedAt: state.finished ?? zeroTime,
    Health: state.health && inspectHealth(state.health), // without a check in no JSON, and nil to a template
  };
}

/** Limits that pod does not set are 0 or null, which is how Docker says so. */
function hostConfig(record: Container["record"]) {
  return {
    Binds: listOrNil(inspectBinds(record.mounts)),
    LogConfig: { Type: record.log.driver, Config: goMap(record.log.options) },
    NetworkMode: networkMode(record.network),
    PortBindings: portBindings(record.ports ?? []),
    RestartPolicy: { Name: record.restart.name, MaximumRetryCount: record.restart.maximumRetryCount },
    AutoRemove: record.autoRemove,
    CapAdd: listOrNil<string>(null),
    CapDrop: listOrNil<string>(null),
    CgroupnsMode: "private",
    Dns: record.network.dns?.servers ?? [],
    DnsOptions: record.network.dns?.options ?? [],
    DnsSearch: record.network.dns?.search ?? [],
    ExtraHosts: listOrNil(record.extraHosts),
    GroupAdd: listOrNil<string>(null),
    IpcMode: "private",
    PidMode: "",
    Privileged: false,
    PublishAllPorts: false,
    ReadonlyRootfs: record.readonlyRootfs,
    SecurityOpt: listOrNil<string>(null),
    UTSMode: "",
    UsernsMode: usernsMode(record.userns),
    IDMappings: record.userns?.mode === "auto" ? idMappings(record.userns) : undefined,
    ShmSize: record.shmSizeBytes,
    Init: record.process.init,
    Mounts: listOrNil(inspectMountOptions(record.mounts)),
    Tmpfs: goMap(
      record.mounts.flatMap((mount) =>
        mount.type === "tmpfs" && mount.origin !== "mount"
          ? [[mount.destination, mount.options.join(",")] as const]
          : [],
      ),
    ),
    CpuShares: 0,
    Memory: 0,
    NanoCpus: 0,
    CpusetCpus: "",
    CpusetMems: "",
    Devices: inspectDevices(record.mounts),
    PidsLimit: null,
    Ulimits: [],
    MaskedPaths: maskedPaths,
    ReadonlyPaths: readonlyPaths,
  };
}
