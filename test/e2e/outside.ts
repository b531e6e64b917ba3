/** What lies outside of containers, made by the test: a network namespace with addresses, servers and an /etc of its own, in which pod runs. */

import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const outside4 = "192.0.2.1";
export const outside6 = "2001:db8::1";

/** Its one interface has both addresses and both default routes; nobody answers behind it. */
const setUp = [
  "ip link set lo up",
  "ip link add out0 type veth peer name out1",
  "ip link set out1 up",
  "ip link set out0 up",
  `ip address add ${outside4}/24 dev out0`,
  `ip address add ${outside6}/64 dev out0 nodad`,
  "ip route add default via 192.0.2.9",
  "ip -6 route add default via 2001:db8::9",
  "echo ready",
  "exec sleep 1000",
];

/** unshare(1) maps the ids of the user who runs the tests, so that pod is root there, and can map as many. */
export class Outside {
  private constructor(
    private readonly holder: Bun.Subprocess<"ignore", "pipe", "inherit">,
    private readonly etcDir: string,
    private readonly servers: Bun.Subprocess[] = [],
  ) {}

  static async open(resolvConf = "nameserver 192.0.2.53\n"): Promise<Outside> {
    const etcDir = mkdtempSync(join(tmpdir(), "etc"));
    for (const name of ["passwd", "group", "subuid", "subgid", "nsswitch.conf"]) {
      if (existsSync(join("/etc", name))) copyFileSync(join("/etc", name), join(etcDir, name));
    }
    writeFileSync(join(etcDir, "resolv.conf"), resolvConf);
    const space = ["unshare", "--user", "--map-root-user", "--map-auto", "--net", "--mount"];
    const script = [`mount --bind ${etcDir} /etc`, ...setUp].join("; ");
    const holder = Bun.spawn([...space, "sh", "-ec", script], { stdin: "ignore", stdout: "pipe" });
    const { value } = await holder.stdout.getReader().read();
    if (new TextDecoder().decode(value).trim() !== "ready") throw new Error("no network namespace could be made");
    return new Outside(holder, etcDir);
  }

  /** What starts a program there: for Host.launcher. */
  get launcher(): string[] {
    return ["nsenter", "--target", String(this.holder.pid), "--user", "--net", "--mount", "--preserve-credentials"];
  }

  /** A file of its /etc. */
  etc(name: string): string {
    return join(this.etcDir, name);
  }

  /** Runs a shell script there; what it printed. */
  async sh(script: string): Promise<string> {
    const child = Bun.spawn([...this.launcher, "sh", "-ec", script], { stdin: "ignore", stdout: "pipe" });
    return await child.stdout.text();
  }

  /** What a server answers there. */
  async fetch(url: string): Promise<string> {
    const program = `console.write(await (await fetch(${JSON.stringify(url)})).text())`;
    const child = Bun.spawn([...this.launcher, process.execPath, "--eval", program], {
      stdin: "ignore",
      stdout: "pipe",
    });
    return await child.stdout.text();
  }

  /** Answers requests of HTTP there, each with `text` in a line. `address`: `[::]` is all. */
  serve(address: string, port: number, text: string): Promise<void> {
    return this.#serve(address, port, `() => new Response(${JSON.stringify(`${text}\n`)})`);
  }

  /** Answers each query for names there, with `address`. */
  async serveNames(at: string, address: string): Promise<void> {
    const answer = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...address.split(".").map(Number)]; // RFC 1035: an A record
    const program = `
      const reply = (query) => {
        const end = query.indexOf(0, 12) + 5; // of the question
        const isA = query[end - 3] === 1;
        return Buffer.concat([query.subarray(0, 2), Buffer.from([0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0]),
          query.subarray(12, end), Buffer.from(isA ? ${JSON.stringify(answer)} : [])]);
      };
      const data = (socket, query, port, from) => void socket.send(reply(query), port, from);
      await Bun.udpSocket({ hostname: "${at}", port: 53, socket: { data } });
      console.log("ready");`;
    await this.#start([process.execPath, "--eval", program]);
  }

  /** Answers each with the address from which the request came. */
  echoCallers(address: string, port: number): Promise<void> {
    const caller = "server.requestIP(request).address.replace('::ffff:', '')";
    return this.#serve(address, port, `(request, server) => new Response(${caller} + '\\n')`);
  }

  async #serve(address: string, port: number, fetch: string): Promise<void> {
    const hostname = JSON.stringify(address.replace(/^\[(.*)\]$/, "$1"));
    const program = `Bun.serve({ hostname: ${hostname}, port: ${port}, fetch: ${fetch} }); console.log("ready");`;
    await this.#start([process.execPath, "--eval", program]);
  }

  /** Until it says that it is ready. */
  async #start(command: string[]): Promise<void> {
    const child = Bun.spawn([...this.launcher, ...command], { stdin: "ignore", stdout: "pipe" });
    this.servers.push(child);
    await child.stdout.getReader().read();
  }

  async close(): Promise<void> {
    for (const child of [...this.servers, this.holder]) {
      child.kill("SIGKILL");
      await child.exited;
    }
    rmSync(this.etcDir, { recursive: true });
  }
}

/** A function of the shell, `get ADDRESS PORT`: what a server answers, without its headers. Not `wget`: that of a static busybox fails. */
export const get =
  "get() { (printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 0.5) | timeout 4 nc -w 2 $1 $2 2>/dev/null | tail -n 1; }";
