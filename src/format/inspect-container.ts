/** A container as `docker inspect` shows it: Docker's field names, as far as pod has what they tell. */

import type { Container } from "../storage/containers.ts";
import { containerDir } from "../storage/containers.ts";
import { goMap } from "./go-values.ts";

const zeroTime = "0001-01-01T00:00:00Z"; // Go's time.Time that was never set

export function inspectContainer({ record, state }: Container) {
  const dir = containerDir(record.id);
  const { process: program } = record;
  return {
    Id: record.id,
    Created: record.created,
    Path: program.args[0] ?? "",
    Args: program.args.slice(1),
    State: {
      Status: state.status,
      Running: state.status === "running",
      Paused: false,
      Restarting: false,
      Dead: false,
      Pid: state.status === "running" ? (state.init?.pid ?? 0) : 0,
      ExitCode: state.exitCode ?? 0,
      Error: state.error ?? "",
      StartedAt: state.started ?? zeroTime,
      FinishedAt: state.finished ?? zeroTime,
    },
    Image: record.image.id,
    ResolvConfPath: `${dir}/resolv.conf`,
    HostnamePath: `${dir}/hostname`,
    HostsPath: `${dir}/hosts`,
    LogPath: `${dir}/container.log`,
    Name: `/${record.name}`,
    RestartCount: 0,
    Driver: record.driver,
    Platform: record.image.platform.split("/")[0],
    HostConfig: hostConfig(record),
    GraphDriver: {
      Name: record.driver,
      Data: goMap({ MergedDir: `${dir}/rootfs`, UpperDir: `${dir}/upper`, WorkDir: `${dir}/work` }),
    },
    Mounts: record.binds.map(({ source, destination, readonly }) => ({
      Type: "bind",
      Source: source,
      Destination: destination,
      Mode: readonly ? "ro" : "",
      RW: !readonly,
      Propagation: "rprivate",
    })),
    Config: {
      Hostname: record.hostname,
      User: program.user,
      Tty: program.tty,
      OpenStdin: program.openStdin,
      Env: program.env,
      Cmd: program.command.length ? program.command : null,
      Image: record.image.reference,
      WorkingDir: program.workingDir,
      Entrypoint: program.entrypoint.length ? program.entrypoint : null,
      ExposedPorts: goMap(record.exposedPorts.map((port) => [port, {}] as const)),
      Labels: goMap(record.labels),
      StopSignal: program.stopSignal,
    },
    NetworkSettings: { Ports: goMap({}), Networks: goMap({ [record.network.mode]: {} }) },
  };
}

function hostConfig(record: Container["record"]) {
  return {
    Binds: record.binds.map(({ source, destination, readonly }) => `${source}:${destination}${readonly ? ":ro" : ""}`),
    NetworkMode: record.network.mode,
    AutoRemove: record.autoRemove,
    ExtraHosts: record.extraHosts,
    Privileged: false,
    ReadonlyRootfs: record.readonlyRootfs,
    ShmSize: record.shmSizeBytes,
    Init: record.process.init,
    Tmpfs: goMap(record.tmpfs.map(({ destination, options }) => [destination, options.join(",")] as const)),
  };
}
