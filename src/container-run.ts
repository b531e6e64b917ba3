/** One run of one container, carried out by its monitor. */

import { join } from "node:path";
import { ContainerConnection, isNetworkLost } from "./container-connection.ts";
import type * as containerMounts from "./container-mounts.ts";
import { ControlListener } from "./control-listener.ts";
import { formatError, hintOf, PodError } from "./errors.ts";
import type { ClientMessage } from "./frames.ts";
import type { Health, HealthAction } from "./health.ts";
import type * as healthMonitor from "./health-monitor.ts";
import { toInitWish } from "./init-wish.ts";
import { logAttributes } from "./log-options.ts";
import { removeCgroup } from "./ns/cgroup.ts";
import { POLLIN } from "./ns/constants.ts";
import { awaitProgram, receiveFromInit, tellInit } from "./ns/handshake.ts";
import type { InitRequest } from "./ns/init.ts";
import { type MountedRootfs, mountRootfs } from "./ns/mountrootfs.ts";
import { restartMonitor, type WaitingInit } from "./ns/prestart.ts";
import { continueAll, stopAll } from "./ns/processes.ts";
import { discardInit, type InitWish, readyInit } from "./ns/replace-init.ts";
import { load } from "./ns/stage.ts";
import { poll, readSignal, signalFd } from "./ns/sys/descriptor.ts";
import { close, writeText } from "./ns/sys/file.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { pidfdOpen, pidfdSendSignal, processId, sessionEndSignals, setSignalMask, waitPid } from "./ns/sys/process.ts";
import { mappedIds } from "./ns/userns.ts";
import { restartDelayMs } from "./restart-policy.ts";
import { hostSpec } from "./runtimespec.ts";
import { signalNumber } from "./signal-names.ts";
import type { RuntimeSpec } from "./spec.ts";
import { ContainerLog } from "./storage/container-log.ts";
import { type ContainerState, identify, putState } from "./storage/container-state.ts";
import { type Container, containerDir } from "./storage/containers.ts";
import { rootfsMount, takeRootAttributes } from "./storage/drivers.ts";
import { recordContainerEvent } from "./storage/events.ts";
import { recordDeath, recordStart } from "./storage/life-events.ts";
import { lockRoot } from "./storage/root-lock.ts";
import { deleteContainerAndVolumes } from "./storage/volumes.ts";
import { type Client, type ContainerStreams, Streams } from "./streams.ts";

const SIGKILL = 9;

const rootfsEndedText = "fuse-overlayfs ended, and the root file system with it";

export type Launch = Extract<ClientMessage, { kind: "launch" }>;

/** From its start to its end, and to the next start that its policy asks for. */
export class ContainerRun {
  private state: ContainerState = { status: "created" };
  private readonly log: ContainerLog;
  private rootLock: number | undefined;
  private rootfs: MountedRootfs | undefined;
  private releaseMounts = () => {};
  private connection: ContainerConnection | undefined;
  private awaitNetworkEnd = () => {};
  private rootfsLost = false;
  private initPid = 0;
  private initPidfd = -1;
  private cgroup: string | undefined;
  private streams: Streams | undefined;
  private listener: ControlListener | undefined;
  /** Descriptors of the running container's namespaces, for `exec`. */
  private namespaces: number[] = [];
  private startedAtMs = 0;
  /** Clients whose conversation keeps the processes stopped. */
  private readonly holders = new Set<Client>();
  private health: healthMonitor.HealthMonitor | undefined;
  /** When a program that was asked to end gets SIGKILL. */
  private killAtMs: number | undefined;
  /** Whatever its restart policy says. */
  private startsAgain = false;
  /** The session or the machine ends: the same. */
  private sessionEnds = false;
  private readonly signals = signalFd(sessionEndSignals); // becomeMonitor() has blocked them

  constructor(
    private readonly container: Container,
    private readonly client: Client | undefined,
  ) {
    const { id, log, labels, process: program } = container.record;
    this.log = new ContainerLog(id, log, logAttributes(log, labels, program.env));
  }

  /** From nothing to the running program. Throws PodError with the step that failed. */
  start(waiting: WaitingInit, windowSize: Launch["windowSize"]): void {
    const { record } = this.container;
    const init = this.takeInit(waiting);
    const { channel } = init;
    this.initPid = init.pid;
    this.initPidfd = pidfdOpen(init.pid);
    this.cgroup = init.cgroup;
    const note = (error: string) => this.noteError(error);
    this.connection = new ContainerConnection(record, () => this.namespaces[2]!, note);
    const { user, init: reaper, args } = record.process;
    const spec = hostSpec(record, { uids: mappedIds("uid"), gids: mappedIds("gid") });
    tellInit(channel, { spec, user, reaper, windowSize } satisfies InitRequest);
    writeText(join(containerDir(record.id), "config.json"), JSON.stringify(spec, null, 2));
    if (!this.container.state.started) takeRootAttributes(record);
    this.rootLock = lockRoot(record.id, true);
    this.rootfs = mountRootfs(rootfsMount(record));
    this.prepareMounts(this.rootfs.path);
    tellInit(channel, {}); // the root file system is there

    const { restartCount } = this.container.state;
    this.state = { status: "created", monitor: identify(processId()), restartCount, cgroup: this.cgroup };
    this.listener = new ControlListener(record.id);
    this.connection.prepare();
    this.connection.connect(receiveFromInit(channel).fds);

    const streams: ContainerStreams = this.openStreams(init);
    for (;;) {
      const report = receiveFromInit(channel);
      if (report.message.kind === "terminal") {
        const master = report.fds[0]!;
        streams.terminal = master;
        streams.stdin = master;
        streams.outputs = [{ fd: master, stream: "stdout" }];
        continue;
      }
      this.namespaces = report.fds; // "ready"
      break;
    }
    this.connection.waitReady();
    tellInit(channel, {});
    awaitProgram(channel, args[0]!);
    close(channel);

    this.startedAtMs = performance.now();
    this.connection.watchHost();
    this.watchHealth(spec);
    this.state = { ...this.state, status: "running", init: identify(this.initPid), started: new Date().toISOString() };
    if (this.health) this.state.health = this.health.health;
    this.state.ports = this.connection.publishedPorts;
    putState(record.id, this.state);
    recordStart(record);
    const first = record.process.stdinOnce || !record.process.openStdin ? this.client : undefined;
    this.streams = new Streams(streams, first, this.log, {
      onMessage: (message, client) => this.answer(message, client),
      onGone: (client) => this.letGo(client),
      watched: () => this.watched(),
      waitMs: () => this.waitMs(),
    });
    if (this.client && !first) this.streams.addClient(this.client);
    if (!record.process.openStdin) this.streams.endInput();
    this.streams.tellAll({ kind: "started", pid: this.initPid });
  }

  /** Until the container's first process has ended and all of its output is written. */
  watch(): void {
    while (this.initPidfd !== -1) {
      this.streams!.pump();
      this.tick();
    }
    this.streams!.drainOutputs();
  }

  /** Cleans up, records, and tells the client: in this order, so that what it hears is already true. */
  end(): void {
    const { record } = this.container;
    this.cleanUp();
    this.state.error = this.log.failure ?? this.state.error; // all of its output has been written by now
    recordDeath(record, this.state.exitCode);
    const deleteFiles = record.autoRemove ? deleteContainerAndVolumes(record) : undefined;
    if (!record.autoRemove) putState(record.id, this.state);
    this.welcome(); // who came meanwhile is to hear it too
    const { lostBytes } = this.log;
    const error = lostBytes
      ? `${lostBytes} bytes of output were lost: the disk with the store was full, or a limit reached`
      : undefined;
    this.streams!.tellAll({ kind: "exited", exitCode: this.state.exitCode!, error });
    this.stopListening();
    deleteFiles?.();
    this.awaitNetworkEnd();
  }

  /** The container could not be started: as in Docker it stays `created`, with the exit code and the error. Or it can't go on. */
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
    this.state = { ...this.toFailed(), exitCode, error: formatError(error) };
    if (this.hasRun) recordDeath(record, exitCode);
    const deleteFiles = record.autoRemove ? deleteContainerAndVolumes(record) : undefined;
    if (!record.autoRemove) putState(record.id, this.state);
    this.client?.send({ kind: "failed", message: formatError(error), hint: hintOf(error), exitCode });
    this.stopListening();
    deleteFiles?.();
    this.awaitNetworkEnd();
  }

  private get hasRun(): boolean {
    return this.startedAtMs !== 0;
  }

  private toFailed(): ContainerState {
    const { state: before } = this.container;
    const gone = { init: undefined, cgroup: undefined, paused: undefined, ports: undefined };
    if (!this.hasRun) return { ...before, ...gone, starting: undefined, status: before.started ? "exited" : "created" };
    return { ...this.state, ...gone, status: "exited", finished: new Date().toISOString() };
  }

  private prepareMounts(rootfs: string): void {
    const { record, state } = this.container;
    if (record.mounts.length === 0 && !record.userns) return;
    const { prepareMounts } = load<typeof containerMounts>("container-mounts");
    this.releaseMounts = prepareMounts(record, rootfs, !state.started);
  }

  /** The process that waits, or another in its place. */
  private takeInit(waiting: WaitingInit): WaitingInit {
    let wish: InitWish;
    try {
      wish = toInitWish(this.container.record);
    } catch (error) {
      discardInit(waiting);
      throw error;
    }
    try {
      return readyInit(waiting, wish);
    } finally {
      if (wish.networkFd !== undefined) close(wish.networkFd);
    }
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

  private watched(): { fd: number; action: () => void }[] {
    const watched = [
      { fd: this.initPidfd, action: () => this.initEnded() },
      { fd: this.listener!.fd, action: () => this.welcome() },
      { fd: this.signals, action: () => this.endWithSession() },
    ];
    if (this.rootfs?.helperPidfd) watched.push({ fd: this.rootfs.helperPidfd, action: () => this.rootfsEnded() });
    return [...watched, ...this.connection!.watched, ...(this.health?.watched ?? [])];
  }

  private waitMs(): number {
    const waits = [this.health?.waitMs ?? -1, this.killAtMs === undefined ? -1 : this.killAtMs - performance.now()];
    const known = waits.filter((wait) => wait !== -1);
    return known.length ? Math.max(0, Math.min(...known)) : -1;
  }

  private tick(): void {
    this.health?.tick(this.state.paused === true || this.holders.size > 0);
    if (this.killAtMs === undefined || performance.now() < this.killAtMs) return;
    this.killAtMs = undefined;
    this.kill(SIGKILL);
  }

  private watchHealth(spec: RuntimeSpec): void {
    const { record } = this.container;
    if (!record.health) return;
    const { watchHealth } = load<typeof healthMonitor>("health-monitor"); // few containers need it
    const { namespaces, cgroup } = this;
    const request = { process: spec.process, user: record.process.user, namespaces, cgroup };
    this.health = watchHealth(record, request, (before) => this.healthChecked(before));
  }

  private healthChecked(before: Health["status"]): void {
    const { record } = this.container;
    const { health } = this.health!;
    this.putState({ health });
    if (health.status === before) return;
    recordContainerEvent(`health_status: ${health.status}`, record);
    if (health.status === "unhealthy") this.treat(record.health!.onFailure);
  }

  private treat(action: HealthAction): void {
    if (action === "none") return;
    if (action === "stop") this.putState({ stopped: true });
    if (action === "kill") return this.kill(SIGKILL);
    this.startsAgain = action === "restart" && !this.container.record.autoRemove;
    this.askToEnd();
  }

  private askToEnd(): void {
    const { process: program, stopTimeoutSeconds } = this.container.record;
    this.kill(signalNumber(program.stopSignal));
    if (stopTimeoutSeconds >= 0) this.killAtMs = performance.now() + stopTimeoutSeconds * 1000;
  }

  /** The program has its time to end. It is not recorded as stopped, so that it runs again with the machine. */
  private endWithSession(): void {
    while (readSignal(this.signals)); // both come, one after the other
    if (this.sessionEnds) return;
    this.sessionEnds = true;
    if (this.state.paused) {
      continueAll(this.initPid, this.cgroup);
      this.putState({ paused: undefined });
    }
    this.askToEnd();
  }

  private initEnded(): void {
    const { code, signal } = waitPid(this.initPid, true)!;
    close(this.initPidfd);
    this.initPidfd = -1;
    if (this.rootfsHasEnded()) this.rootfsEnded();
    const exitCode = this.rootfsLost ? 137 : signal ? 128 + signal : code; // its own would be an accident
    const finished = new Date().toISOString();
    const gone = { init: undefined, cgroup: undefined, paused: undefined, ports: undefined };
    this.state = { ...this.state, ...gone, status: "exited", exitCode, finished };
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
    this.streams!.tellAll({ kind: "note", text: error });
    putState(this.container.record.id, this.state);
  }

  private welcome(): void {
    for (const client of this.listener!.clients()) this.streams!.addClient(client);
  }

  private stopListening(): void {
    this.listener?.close();
    this.listener = undefined;
  }

  private answer(message: ClientMessage, client: Client): void {
    const { openStdin, stdinOnce } = this.container.record.process;
    if (message.kind === "resize") this.streams!.resize(message);
    if (message.kind === "stdin-end" && (stdinOnce || !openStdin)) this.streams!.endInput();
    if (message.kind === "attach") client.send({ kind: "started", pid: this.initPid });
    if (message.kind === "namespaces" && message.stays) this.connection!.share();
    if (message.kind === "namespaces") client.sendDescriptors(this.namespaces);
    if (message.kind === "read") client.hasRead(message, this.log.sizeBytes);
    if (message.kind === "changed") Object.assign(this.container.record, message.fields);
    if (message.kind === "stop") this.putState({ stopped: true });
    if (message.kind === "signal" || message.kind === "stop") this.kill(message.signal);
    if (message.kind === "hold") this.hold(client);
    if (message.kind === "connect") this.change(client, () => this.connection!.join(message.endpoint));
    if (message.kind === "disconnect") this.change(client, () => this.connection!.leave(message.network));
    if (message.kind === "publish") this.change(client, () => this.changePorts(message));
    if (message.kind === "reload-networks") this.change(client, () => this.reloadNetworks());
    if (message.kind === "pause" || message.kind === "unpause") this.pause(message.kind === "pause", client);
  }

  private reloadNetworks(): void {
    this.connection!.reload();
    if (isNetworkLost(this.state.error)) this.putState({ error: undefined });
  }

  private changePorts({ remove, add }: Extract<ClientMessage, { kind: "publish" }>): void {
    try {
      this.connection!.changePorts(remove, add);
    } finally {
      this.putState({ ports: this.connection!.publishedPorts });
    }
  }

  private kill(signal: number): void {
    if (this.initPidfd === -1) return;
    unlessErrno(["ESRCH"], () => pidfdSendSignal(this.initPidfd, signal));
    recordContainerEvent("kill", this.container.record, { signal: String(signal) });
  }

  private pause(on: boolean, client: Client): void {
    this.orTell(client, () => {
      const bySignal = (on ? stopAll : continueAll)(this.initPid, this.cgroup);
      this.putState({ paused: on || undefined });
      recordContainerEvent(on ? "pause" : "unpause", this.container.record);
      return { bySignal };
    });
  }

  private change(client: Client, action: () => void): void {
    this.orTell(client, () => {
      action();
      return undefined;
    });
  }

  private orTell(client: Client, action: () => { bySignal: boolean } | undefined): void {
    try {
      client.send({ kind: "done", ...action() });
    } catch (error) {
      client.send({ kind: "failed", message: formatError(error), hint: hintOf(error) });
    }
  }

  private hold(client: Client): void {
    this.orTell(client, () => {
      const bySignal = stopAll(this.initPid, this.cgroup);
      this.holders.add(client);
      return { bySignal };
    });
  }

  private letGo(client: Client): void {
    const wasHolder = this.holders.delete(client);
    if (wasHolder && this.holders.size === 0 && !this.state.paused) continueAll(this.initPid, this.cgroup);
  }

  private putState(change: Partial<ContainerState>): void {
    this.state = { ...this.state, ...change };
    putState(this.container.record.id, this.state);
  }

  /**
   * What the restart policy asks for, also where pod could not go on with what ran: this very process, as a fresh program.
   * One that could not be started is not tried again, as in Docker. A `stop` that comes before it is time for
   * that ends it.
   */
  startAgain(): void {
    const { record } = this.container;
    const { exitCode = 0, restartCount = 0, stopped } = this.state;
    if (!this.hasRun || this.state.status !== "exited" || stopped || this.sessionEnds) return;
    const livedMs = performance.now() - this.startedAtMs;
    const delayMs = this.startsAgain ? 0 : restartDelayMs(record.restart, { exitCode, restartCount, livedMs });
    if (delayMs === undefined) return;
    const listener = new ControlListener(record.id);
    putState(record.id, { ...this.state, restarting: true, restartCount: restartCount + 1 });
    setSignalMask("unblock", sessionEndSignals); // there is no program that wants time
    const isStopped = listener.awaitStop(delayMs, exitCode);
    setSignalMask("block", sessionEndSignals);
    if (!isStopped) restartMonitor(record.id);
    putState(record.id, { ...this.state, stopped: true, monitor: undefined });
    listener.close();
  }

  private cleanUp(): void {
    this.health?.stop();
    for (const fd of this.namespaces.splice(0)) close(fd);
    this.awaitNetworkEnd = this.connection?.release() ?? (() => {});
    this.releaseMounts();
    this.rootfs?.unmount();
    if (this.rootLock !== undefined) close(this.rootLock);
    if (this.cgroup !== undefined) removeCgroup(this.cgroup);
    this.log.close();
  }
}
