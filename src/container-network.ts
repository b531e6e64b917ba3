/** A running container's way out, in its monitor: slirp4netns, started again should somebody kill it. */

import { join } from "node:path";
import { requireSlirp, type Slirp, startSlirp } from "./net/slirp4netns.ts";
import { close } from "./ns/sys/file.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { pidfdOpen, pidfdSendSignal, waitPid } from "./ns/sys/process.ts";
import { type ContainerRecord, containerDir } from "./storage/containers.ts";

const SIGKILL = 9;

export class ContainerNetwork {
  readonly #record: ContainerRecord;
  readonly #userFd: number;
  readonly #networkFd: number;
  #slirp: Slirp & { pidfd: number };

  /** The descriptors of the container's user and network namespaces are kept, for the next start. */
  constructor(record: ContainerRecord, program: string, [userFd, networkFd]: number[]) {
    this.#record = record;
    this.#userFd = userFd!;
    this.#networkFd = networkFd!;
    this.#slirp = this.#start(program);
  }

  /** Readable when slirp4netns has ended. */
  get pidfd(): number {
    return this.#slirp.pidfd;
  }

  /** Throws PodError with what slirp4netns said. */
  waitReady(): void {
    this.#slirp.waitReady();
  }

  /** Connections through the old one are lost. Throws PodError where there can't be another one. */
  startAgain(): void {
    this.release();
    this.#slirp = this.#start(requireSlirp());
    try {
      this.#slirp.waitReady();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  release(): void {
    close(this.#slirp.exitFd);
    unlessErrno(["ESRCH"], () => pidfdSendSignal(this.#slirp.pidfd, SIGKILL)); // also one that hangs
    waitPid(this.#slirp.pid, true);
    close(this.#slirp.pidfd);
  }

  #start(program: string): Slirp & { pidfd: number } {
    const slirp = startSlirp({
      program,
      userFd: this.#userFd,
      networkFd: this.#networkFd,
      allowHostLoopback: this.#record.network.allowHostLoopback,
      logFile: join(containerDir(this.#record.id), "slirp4netns.log"),
    });
    return { ...slirp, pidfd: pidfdOpen(slirp.pid) };
  }
}
