/** Follows the host's /etc/resolv.conf while a container runs. */

import { dirname } from "node:path";
import { hostResolvConf, resolvConfPath } from "./name-files.ts";
import { O_DIRECTORY, O_PATH, O_RDONLY } from "./ns/constants.ts";
import { notifyOfChanges, readSignal, SIGIO, signalFd } from "./ns/sys/descriptor.ts";
import { close, open, readlinkAt } from "./ns/sys/file.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { setSignalMask } from "./ns/sys/process.ts";

/**
 * Told by signals of its directory, and of that to which it is a link. inotify(7) would be too dear here: a user has 128
 * instances of it, and to end one takes the kernel milliseconds.
 */
export class ResolvConfWatch {
  /** Readable when it may have changed. */
  readonly fd: number;
  #directories: number[] = [];
  #text = hostResolvConf() ?? "";

  constructor() {
    setSignalMask("block", [SIGIO]);
    this.fd = signalFd([SIGIO]);
    this.#watch();
  }

  /** What it said before; undefined where it says the same. */
  changedFrom(): string | undefined {
    while (readSignal(this.fd));
    this.#watch(); // the link may lead elsewhere now
    const before = this.#text;
    this.#text = hostResolvConf() ?? before;
    return this.#text === before ? undefined : before;
  }

  close(): void {
    for (const fd of [...this.#directories.splice(0), this.fd]) close(fd);
  }

  #watch(): void {
    const before = this.#directories;
    const paths = [resolvConfPath];
    unlessErrno(cantBeSeen, () => {
      paths.push(realPath(resolvConfPath));
    });
    this.#directories = [];
    for (const path of new Set(paths.map((path) => dirname(path)))) {
      unlessErrno(cantBeSeen, () => {
        this.#directories.push(open(path, O_RDONLY | O_DIRECTORY));
      });
    }
    for (const fd of this.#directories) unlessErrno(["EINVAL"], () => notifyOfChanges(fd)); // a kernel, or a file system, without it
    for (const fd of before) close(fd);
  }
}

const cantBeSeen = ["ENOENT", "ENOTDIR", "EACCES"];

function realPath(path: string): string {
  const fd = open(path, O_PATH);
  try {
    return readlinkAt(fd, `/proc/self/fd/${fd}`);
  } finally {
    close(fd);
  }
}
