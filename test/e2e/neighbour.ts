/** A host with one neighbour, in network namespaces of the test's own: pod runs on the host, and the neighbour calls. */

import { binary, type Host, type Result } from "./harness.ts";
import { exitCode } from "./terminal.ts";

export const hostAddresses = { v4: "192.0.2.1", v6: "2001:db8::1" };
export const neighbourAddresses = { v4: "192.0.2.77", v6: "2001:db8::77" };

/** Somebody whom /etc/subuid does not name: other ids than their own have no meaning in there. */
const uid = "4242";

export class Outside {
  private constructor(
    private readonly owner: Host,
    private readonly host: Bun.Subprocess<"pipe", "pipe", "inherit">,
    private readonly neighbour: Bun.Subprocess<"pipe", "pipe", "inherit">,
  ) {}

  static async open(owner: Host): Promise<Outside> {
    const host = await space("unshare", "--user", "--map-root-user", "--net");
    const neighbour = await space(...into(host.pid), "unshare", "--net");
    const outside = new Outside(owner, host, neighbour);
    await outside.onHost(`ip link set lo up; ip link add out type veth peer name in netns ${neighbour.pid}`);
    await outside.onHost(setUp("out", hostAddresses));
    await outside.fromNeighbour(setUp("in", neighbourAddresses));
    return outside;
  }

  /** pod as an ordinary user of that host, who has no id but their own. */
  async pod(...args: string[]): Promise<Result> {
    return await run([...into(this.host.pid), "unshare", `--map-user=${uid}`, `--map-group=${uid}`, binary, ...args], {
      ...this.owner.env,
    });
  }

  /** Fails where pod does; its stdout without the last newline. */
  async must(...args: string[]): Promise<string> {
    return expectSuccess(args, await this.pod(...args));
  }

  /** What a shell script prints there. */
  async onHost(script: string): Promise<string> {
    return expectSuccess([script], await run([...into(this.host.pid), "bash", "-c", script]));
  }

  async fromNeighbour(script: string): Promise<string> {
    return expectSuccess([script], await run([...into(this.neighbour.pid), "bash", "-c", script]));
  }

  async close(): Promise<void> {
    for (const child of [this.neighbour, this.host]) {
      child.stdin.end();
      await child.exited;
    }
  }
}

/** A process in new namespaces, which lives until its input ends. */
async function space(...command: string[]): Promise<Bun.Subprocess<"pipe", "pipe", "inherit">> {
  const child = Bun.spawn([...command, "sh", "-c", "echo ready; exec cat"], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  await child.stdout.getReader().read();
  return child;
}

function into(pid: number): string[] {
  return ["nsenter", `--target=${pid}`, "--user", "--net", "--preserve-credentials"];
}

function setUp(link: string, { v4, v6 }: typeof hostAddresses): string {
  return `ip addr add ${v4}/24 dev ${link}; ip addr add ${v6}/64 dev ${link} nodad; ip link set ${link} up`;
}

async function run(command: string[], env?: Record<string, string>): Promise<Result> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe", ...(env && { env }) });
  const [bytes, stderr] = await Promise.all([child.stdout.bytes(), child.stderr.text()]);
  await child.exited;
  return { code: exitCode(child)!, stdout: Buffer.from(bytes).toString(), stderr, bytes: Buffer.from(bytes) };
}

function expectSuccess(command: string[], { code, stdout, stderr }: Result): string {
  if (code !== 0) throw new Error(`${command.join(" ")}: exit code ${code}\n${stderr}`);
  return stdout.replace(/\n$/, "");
}
