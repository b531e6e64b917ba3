/** Where commands reach the monitor of a running container: the other end of control.ts. */

import { controlPath } from "./control.ts";
import { hasCode } from "./errors.ts";
import type { ClientMessage } from "./frames.ts";
import { O_RDONLY, POLLIN } from "./ns/constants.ts";
import { accept, listenAt, poll } from "./ns/sys/descriptor.ts";
import { close, open } from "./ns/sys/file.ts";
import { rmSync } from "./ns/sys/fs.ts";
import { Client } from "./streams.ts";

export class ControlListener {
  readonly #path: string;
  readonly fd: number;
  #spare = openSpare();

  constructor(id: string) {
    this.#path = controlPath(id);
    rmSync(this.#path, { force: true }); // a killed monitor's
    this.fd = listenAt(this.#path);
  }

  /** Those that have come since. Where no descriptor is left (RLIMIT_NOFILE), they are turned away by the spare one. */
  *clients(): Generator<Client> {
    for (let fd = this.#accept(); fd !== undefined; fd = this.#accept()) yield new Client(fd);
  }

  #accept(): number | undefined {
    try {
      return accept(this.fd);
    } catch (error) {
      if (!hasCode(error, "EMFILE", "ENFILE")) throw error;
    }
    close(this.#spare);
    const refused = accept(this.fd);
    if (refused !== undefined) close(refused);
    this.#spare = openSpare();
    return undefined;
  }

  /** Whether one comes within that time and says `stop`; it is told `exitCode`. */
  awaitStop(timeoutMs: number, exitCode: number): boolean {
    const deadline = performance.now() + timeoutMs;
    for (let rest = timeoutMs; rest > 0; rest = deadline - performance.now()) {
      if (!poll([{ fd: this.fd, events: POLLIN }], rest)[0]) continue;
      for (const client of this.clients()) {
        const isStop = saysStop(client);
        if (isStop) client.send({ kind: "exited", exitCode });
        client.drop();
        if (isStop) return true;
      }
    }
    return false;
  }

  close(): void {
    close(this.fd);
    close(this.#spare);
    rmSync(this.#path, { force: true });
  }
}

function openSpare(): number {
  return open("/dev/null", O_RDONLY);
}

function saysStop(client: Client): boolean {
  poll([{ fd: client.fd, events: POLLIN }], 1000);
  const frames = client.receive(new Uint8Array(65536)) ?? [];
  return frames.some(({ payload }) => (JSON.parse(payload.toString()) as ClientMessage).kind === "stop");
}
