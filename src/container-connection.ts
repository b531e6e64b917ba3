/** What connects a running container with others, in its monitor: its networks, its published ports, and the host's resolv.conf, which its own follows. */

import { type ContainerNetwork, networkOf } from "./container-network.ts";
import { formatError } from "./errors.ts";
import { followResolvConf } from "./name-files.ts";
import { close } from "./ns/sys/file.ts";
import { PublishedPorts } from "./published-ports.ts";
import { ResolvConfWatch } from "./resolv-conf-watch.ts";
import type { ContainerRecord, Endpoint, PortBinding, PublishedPort } from "./storage/containers.ts";

const lostText = "its network is gone";

/** Whether that is what a container's state has as its error. */
export function isNetworkLost(error: string | undefined): boolean {
  return error?.startsWith(lostText) === true;
}

export class ContainerConnection {
  readonly #network: ContainerNetwork | undefined;
  readonly #ports: PublishedPorts | undefined;
  #resolvConf: ResolvConfWatch | undefined;

  /**
   * Takes the host's ports. `networkFd` is the container's network namespace, once it is there; `note` is told what was lost and could not be
   * replaced. Throws PodError where a program is missing or a port is taken: before anything of the container exists.
   */
  constructor(
    private readonly record: ContainerRecord,
    networkFd: () => number,
    private readonly note: (error: string) => void,
  ) {
    this.#network = networkOf(record);
    // with the host's network they are there already
    this.#ports = this.#network && PublishedPorts.open(record.ports ?? [], this.#network, networkFd);
  }

  /** Before the container's namespaces are there. */
  prepare(): void {
    this.#network?.prepare();
  }

  /** `fds`: the container's user and network namespace, and a netlink socket in that; they belong to this now. */
  connect(fds: number[]): void {
    if (this.#network) this.#network.connect(fds);
    else for (const fd of fds) close(fd);
  }

  /** Before the program runs. Throws PodError with what failed. */
  waitReady(): void {
    this.#network?.waitReady();
    this.#ports?.start();
  }

  /** When the program runs. */
  watchHost(): void {
    if (this.record.network.mode !== "container") this.#resolvConf = new ResolvConfWatch();
  }

  /** With the ports that were chosen; undefined where there are none. */
  get publishedPorts(): PublishedPort[] | undefined {
    return this.#ports?.published.length ? this.#ports.published : undefined;
  }

  /** Descriptors that are readable when there is something to do, and what that is. */
  get watched(): { fd: number; action: () => void }[] {
    const watched = (this.#network?.pidfds ?? []).map((fd) => ({ fd, action: () => this.#networkEnded(fd) }));
    if (this.#resolvConf) watched.push({ fd: this.#resolvConf.fd, action: () => this.#followHost() });
    if (this.#ports?.pidfd) watched.push({ fd: this.#ports.pidfd, action: () => this.#portsEnded() });
    return watched;
  }

  /** These three while the container runs. They throw PodError where it is not possible: then all is as it was. */
  join(endpoint: Endpoint): void {
    this.#network!.join(endpoint);
    this.#ports!.follow();
  }
  leave(network: string): void {
    this.#network!.leave(network);
    this.#ports!.follow();
  }
  changePorts(remove: PortBinding[], add: PortBinding[]): void {
    this.#ports!.change(remove, add);
  }

  /** Ways out that are gone come again. */
  reload(): void {
    this.#network?.reload();
  }

  /** Another container has its network too, and may outlive this one. */
  share(): void {
    this.#network?.share();
  }

  /** What comes back waits until nothing is left of it: a killed slirp4netns may take the kernel a little longer. */
  release(): () => void {
    this.#resolvConf?.close();
    this.#ports?.release();
    return this.#network?.release() ?? (() => {});
  }

  /** It was killed: a new one takes its place. */
  #networkEnded(pidfd: number): void {
    this.#orNote(lostText, () => this.#network!.startAgain(pidfd));
  }

  #portsEnded(): void {
    this.#orNote("its published ports are gone", () => this.#ports!.startAgain());
  }

  #followHost(): void {
    this.#orNote(lostText, () => {
      const before = this.#resolvConf!.changedFrom();
      if (before === undefined) return;
      if (this.#network) this.#network.followHost(before);
      else followResolvConf(this.record, undefined, before);
    });
  }

  #orNote(text: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.note(`${text}: ${formatError(error)}`);
    }
  }
}
