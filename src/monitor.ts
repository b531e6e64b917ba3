/**
 * The monitor: one process per running container. It mounts the root file system, starts the container, owns its
 * standard streams, writes the log, serves the client, waits, records the exit and cleans up. It is synchronous, one
 * poll(2) loop, so it stays small; and it never changes its own network or pid namespace, from which there is no way back.
 */

import { join } from "node:path";
import { formatError, hintOf, PodError } from "./errors.ts";
import type { ClientMessage } from "./frames.ts";
import { requireSlirp, type Slirp, startSlirp } from "./net/slirp4netns.ts";
import { POLLIN } from "./ns/constants.ts";
import { awaitProgram, receiveFromInit, tellInit } from "./ns/handshake.ts";
import type { InitRequest } from "./ns/init.ts";
import { type MountedRootfs, mountRootfs } from "./ns/mountrootfs.ts";
import type { Prepared, WaitingInit } from "./ns/prestart.ts";
import { poll } from "./ns/sys/descriptor.ts";
import { close, writeText } from "./ns/sys/file.ts";
import { chmodSync, chownSync, statSync } from "./ns/sys/fs.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { exitNow, getRlimit, pidfdOpen, pidfdSendSignal, processId, waitPid } from "./ns/sys/process.ts";
import { mappedIds, takeSingleIdNote, unregisterHolder } from "./ns/userns.ts";
import { repairContainers } from "./repair.ts";
import { toSpec } from "./runtimespec.ts";
import type { RuntimeSpec } from "./spec.ts";
import {
  type Container,
  type ContainerRecord,
  type ContainerState,
  containerDir,
  deleteContainer,
  identify,
  putState,
  readContainer,
} from "./storage/containers.ts";
import { rootfsMount } from "./storage/drivers.ts";
import { recordContainerEvent } from "./storage/events.ts";
import { layerDir } from "./storage/layers.ts";
import { LogWriter } from "./storage/logs.ts";
import { Client, type ContainerStreams, Streams } from "./streams.ts";

/** Runs the stage; `clientFd` is the client's socket. It is started before the command knows what will run. */
export function runMonitor(clientFd: number, prepared: Prepared): never {
  const client = new Client(clientFd);
  const launch = waitForLaunch(client);
  try {
    if (launch) live(launch, client, prepared); // else the command found nothing to run
  } finally {
    unregisterHolder();
    exitNow(0); // whatever went wrong: a monitor that stays would hold mounts
  }
}

function live(launch: Launch, client: Client, { init, failure }: Prepared): void {
  client.attached = launch.attach;
  const life = new Life(readContainer(launch.id)!, client);
  try {
    if (!init) throw failure;
    const note = takeSingleIdNote();
    if (note) client.send({ kind: "note", text: note });
    life.start(init, launch.windowSize);
    life.watch();
    life.end();
  } catch (error) {
    life.fail(error);
  }
  client.drain();
  client.drop();
  if (init) repairContainers();
}

type Launch = Extract<ClientMessage, { kind: "launch" }>;

function waitForLaunch(client: Client): Launch | undefined {
  for (;;) {
    poll([{ fd: client.fd!, events: POLLIN }], -1);
    const frames = client.receive(new Uint8Array(65536));
    if (!frames) return undefined;
    const [first, ...early] = frames;
    if (!first) continue;
    client.early = early;
    return JSON.parse(first.payload.toString()) as Launch;
  }
}

const rootfsEndedText = "fuse-overlayfs ended, and the root file system with it";

/** One run of one container. */
class Life {
  private state: ContainerState = { status: "created" };
  private readonly log: LogWriter;
  private rootfs: MountedRootfs | undefined;
  private slirp: (Slirp & { pidfd: number }) | undefined;
  private network: { userFd: number; networkFd: number } | undefined;
  private rootfsLost = false;
  private initPid = 0;
  private initPidfd = -1;
  private streams: Streams | undefined;

  constructor(
    private readonly container: Container,
    private readonly client: Client,
  ) {
    this.log = new LogWriter(container.record.id);
  }

  /** From nothing to the running program. Throws PodError with the step that failed. */
  start(init: WaitingInit, windowSize: Launch["windowSize"]): void {
    const { record } = this.container;
    const { channel } = init;
    this.initPid = init.pid;
    this.initPidfd = pidfdOpen(init.pid);
    const program = record.network.mode === "slirp4netns" ? requireSlirp() : undefined;
    if (!this.container.state.started) takeRootAttributes(record);
    this.rootfs = mountRootfs(rootfsMount(record));
    this.state = { status: "created", monitor: identify(processId()) };

    const { user, init: reaper, args } = record.process;
    tellInit(channel, { spec: this.writeSpec(), user, reaper, windowSize } satisfies InitRequest);
    const { fds } = receiveFromInit(channel);
    if (program) this.startNetwork(program, fds);
    else for (const fd of fds) close(fd);

    const streams: ContainerStreams = this.openStreams(init);
    for (;;) {
      const report = receiveFromInit(channel);
      if (report.message.kind === "terminal") {
        const master = report.fds[0]!;
        streams.terminal = master;
        streams.stdin = master;
        streams.outputs = [{ fd: master, stream: "stdout" }];
      } else break;
    }
    this.slirp?.waitReady();
    tellInit(channel, {});
    awaitProgram(channel, args[0]!);
    close(channel);

    this.state = {
      status: "running",
      monitor: this.state.monitor,
      init: identify(this.initPid),
      started: new Date().toISOString(),
    };
    putState(record.id, this.state);
    recordContainerEvent("start", record);
    this.streams = new Streams(streams, this.client, this.log, {
      onMessage: (message) => this.answer(message),
      watched: () => this.watched(),
    });
    if (!record.process.openStdin) this.streams.endInput();
    this.client.send({ kind: "started", pid: this.initPid });
  }

  /** Until the container's first process has ended and all of its output is written. */
  watch(): void {
    while (this.initPidfd !== -1) this.streams!.pump();
    this.streams!.drainOutputs();
  }

  /** Cleans up, records, and tells the client: in this order, so that what it hears is already true. */
  end(): void {
    const { record } = this.container;
    this.cleanUp();
    recordContainerEvent("die", record, { exitCode: String(this.state.exitCode) });
    const deleteFiles = record.autoRemove ? deleteContainer(record) : undefined;
    if (!record.autoRemove) putState(record.id, this.state);
    this.client.send({ kind: "exited", exitCode: this.state.exitCode! });
    deleteFiles?.();
  }

  /** The container could not be started. As in Docker it stays `created`, with the exit code and the error. */
  fail(cause: unknown): void {
    const { record } = this.container;
    const lost = /ENOTCONN|ECONNABORTED/.test(formatError(cause)); // it may be seen before the process has quite ended
    const error = this.rootfsHasEnded(lost ? 1000 : 0) ? new PodError(rootfsEndedText, { cause }) : cause;
    if (this.initPidfd !== -1) {
      unlessErrno(["ESRCH"], () => pidfdSendSignal(this.initPidfd, 9));
      waitPid(this.initPid, true);
    }
    this.cleanUp();
    const exitCode = (error as { exitCode?: number }).exitCode ?? 125; // a lost root file system is not the command's fault
    const deleteFiles = record.autoRemove ? deleteContainer(record) : undefined;
    if (!record.autoRemove) putState(record.id, { status: "created", exitCode, error: formatError(error) });
    this.client.send({ kind: "failed", message: formatError(error), hint: hintOf(error), exitCode });
    deleteFiles?.();
  }

  /** `config.json`: what init is about to carry out. */
  private writeSpec(): RuntimeSpec {
    const { record } = this.container;
    const dir = containerDir(record.id);
    const maxOpenFiles = getRlimit(7 /* RLIMIT_NOFILE */).hard;
    const spec = toSpec(record, { dir, uids: mappedIds("uid"), gids: mappedIds("gid"), maxOpenFiles });
    writeText(join(dir, "config.json"), JSON.stringify(spec, null, 2));
    return spec;
  }

  private openStreams(init: WaitingInit): ContainerStreams {
    const { openStdin, tty } = this.container.record.process;
    if (tty) return { outputs: [] };
    if (!openStdin) close(init.stdin);
    return {
      stdin: openStdin ? init.stdin : undefined,
      outputs: [
        { fd: init.stdout, stream: "stdout" },
        { fd: init.stderr, stream: "stderr" },
      ],
    };
  }

  /** Its descriptors are kept, to start slirp4netns again should it be killed. */
  private startNetwork(program: string, [userFd, networkFd]: number[]): void {
    this.network = { userFd: userFd!, networkFd: networkFd! };
    this.spawnSlirp(program);
  }

  private spawnSlirp(program: string): void {
    const { record } = this.container;
    const logFile = join(containerDir(record.id), "slirp4netns.log");
    const { allowHostLoopback } = record.network;
    const slirp = startSlirp({ program, ...this.network!, allowHostLoopback, logFile });
    this.slirp = { ...slirp, pidfd: pidfdOpen(slirp.pid) };
  }

  private watched(): { fd: number; action: () => void }[] {
    const watched = [{ fd: this.initPidfd, action: () => this.initEnded() }];
    if (this.slirp) watched.push({ fd: this.slirp.pidfd, action: () => this.slirpEnded() });
    if (this.rootfs?.helperPidfd) watched.push({ fd: this.rootfs.helperPidfd, action: () => this.rootfsEnded() });
    return watched;
  }

  private initEnded(): void {
    const { code, signal } = waitPid(this.initPid, true)!;
    close(this.initPidfd);
    this.initPidfd = -1;
    if (this.rootfsHasEnded()) this.rootfsEnded();
    const exitCode = this.rootfsLost ? 137 : signal ? 128 + signal : code; // its own would be an accident
    const error = this.log.lostBytes ? `${this.log.lostBytes} bytes of its log were lost` : this.state.error;
    this.state = { status: "exited", exitCode, error, started: this.state.started, finished: new Date().toISOString() };
  }

  /** It was killed: a new one takes its place; connections through the old one are lost. */
  private slirpEnded(): void {
    this.releaseSlirp();
    try {
      this.spawnSlirp(requireSlirp());
      this.slirp!.waitReady();
    } catch (error) {
      this.releaseSlirp();
      this.noteError(`its network is gone: ${formatError(error)}`);
    }
  }

  private rootfsHasEnded(waitMs = 0): boolean {
    const fd = this.rootfs?.helperPidfd;
    return fd !== undefined && poll([{ fd, events: POLLIN }], waitMs)[0] !== 0;
  }

  /** The root file system's process was killed: nothing inside can go on. */
  private rootfsEnded(): void {
    if (this.rootfsLost) return;
    this.noteError(rootfsEndedText);
    this.rootfsLost = true;
    this.rootfs!.helperPidfd = undefined;
    if (this.initPidfd !== -1) unlessErrno(["ESRCH"], () => pidfdSendSignal(this.initPidfd, 9));
  }

  private noteError(error: string): void {
    this.state = { ...this.state, error };
    this.client.send({ kind: "note", text: error });
    putState(this.container.record.id, this.state);
  }

  private answer(message: ClientMessage): void {
    if (message.kind === "resize") this.streams!.resize(message);
    if (message.kind === "stdin-end") this.streams!.endInput();
    if (message.kind === "signal" && this.initPidfd !== -1) {
      unlessErrno(["ESRCH"], () => pidfdSendSignal(this.initPidfd, message.signal));
    }
  }

  private cleanUp(): void {
    this.releaseSlirp();
    this.rootfs?.unmount();
    this.log.close();
  }

  private releaseSlirp(): void {
    if (!this.slirp) return;
    close(this.slirp.exitFd); // it ends when this closes
    waitPid(this.slirp.pid, true);
    close(this.slirp.pidfd);
    this.slirp = undefined;
  }
}

/** An overlay shows the upper folder's own owner and mode as those of `/`: they are to be the image's. */
function takeRootAttributes(record: ContainerRecord): void {
  const top = record.layers.at(-1);
  if (!top) return;
  const { mode, uid, gid } = statSync(layerDir(top));
  const upper = join(containerDir(record.id), "upper");
  chownSync(upper, uid, gid);
  chmodSync(upper, mode & 0o7777);
}
