/**
 * Networks: starts in them, throughput, HTTP through a published port, memory; beside podman with slirp4netns (a network of its
 * own between containers) and a bare pasta, which podman 4.3 can't start yet.
 */

import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import { kill } from "node:process";
import { alternate, atOnce, compare, output, privateBytes, quietly } from "./measure.ts";
import type { Row } from "./report.ts";
import { freePort, type Stage } from "./stage.ts";

type Tool = (...args: string[]) => string[];
type Tools = { pod: Tool; podman: Tool };

const toolsImage = "localhost/bench-tools";
const rounds = 3;
const seconds = "3";

export async function network(stage: Stage, tools: Tools): Promise<Row[]> {
  importTools(stage, Object.values(tools));
  const rows = [
    ...(await starts(stage, tools)),
    ...(await throughput(tools)),
    ...(await http(tools)),
    await memory(stage, tools),
  ];
  for (const tool of Object.values(tools)) quietly(...tool("rmi", "-f", toolsImage));
  return rows;
}

/** An image of the host's iperf3, with its libraries, and busybox. */
function importTools({ directory }: Stage, tools: Tool[]): void {
  const root = join(directory, "tools");
  const programs = { iperf3: Bun.which("iperf3")!, busybox: Bun.which("busybox")! };
  const libraries = output("ldd", programs.iperf3).match(/\/\S+/g)!;
  for (const [from, to] of [
    ...Object.entries(programs).map(([name, path]) => [path, `/bin/${name}`]),
    ...libraries.map((path) => [path, path]),
  ] as [string, string][]) {
    mkdirSync(join(root, dirname(to)), { recursive: true });
    copyFileSync(from, join(root, to));
  }
  symlinkSync("busybox", join(root, "bin/sh"));
  for (const name of ["tmp", "www"]) mkdirSync(join(root, name));
  output("tar", "--create", "--file", `${root}.tar`, "--directory", root, ".");
  for (const tool of tools) output(...tool("import", `${root}.tar`, toolsImage));
  for (const path of [root, `${root}.tar`]) rmSync(path, { recursive: true });
}

async function starts({ image }: Stage, { pod, podman }: Tools): Promise<Row[]> {
  const online = ["run", "--rm", image, "true"];
  const first = await compare(15, { pod: { run: pod(...online) }, podman: { run: podman(...online) } });
  output(...pod("run", "-d", "--name", "member", image, "sleep", "900"));
  const second = await compare(30, {
    pod: { run: pod(...online) },
    none: { run: pod("run", "--rm", "--network", "none", image, "true") },
  });
  output(...pod("rm", "-f", "member"));
  return [
    { name: "run --rm … true, the first of its network", unit: "ms", ...first },
    {
      name: "the same, the second one",
      unit: "ms",
      pod: second.pod,
      other: second.none,
      otherName: "pod, --network none",
    },
  ];
}

/** Gbit/s that iperf3's receiver counts. */
async function throughput({ pod, podman }: Tools): Promise<Row[]> {
  const measure = (prefix: string[], address: string, port: number) => async () => {
    const client = ["iperf3", "--client", address, "--port", String(port), "--time", seconds, "--json"];
    const { end } = JSON.parse(output(...prefix, ...client));
    return [end.sum_received.bits_per_second / 1e9];
  };
  const inside = (tool: Tool, ...options: string[]) => tool("run", "--rm", ...options, toolsImage);
  const port = await freePort();
  const server = Bun.spawn(["iperf3", "--server", "--port", String(port)], { stdout: "ignore" });
  await Bun.sleep(300);
  const out = await alternate(rounds, {
    pod: measure(inside(pod), hostAddress(), port),
    podman: measure(inside(podman), hostAddress(), port),
    pasta: measure(["pasta", "--config-net", "--"], hostGateway(), port),
  });
  server.kill();
  await server.exited;

  const published = {
    pod: await publish(pod, "iperf3", "--server"),
    podman: await publish(podman, "iperf3", "--server"),
  };
  const pasta = await publishByPasta("iperf3", "--server");
  const into = await alternate(rounds, {
    pod: measure([], "127.0.0.1", published.pod.port),
    podman: measure([], "127.0.0.1", published.podman.port),
    pasta: measure([], "127.0.0.1", pasta.port),
  });
  for (const each of [published.pod, published.podman, pasta]) await each.end();

  for (const tool of [pod, podman]) {
    output(...tool("network", "create", "bench"));
    output(...tool("run", "-d", "--name", "server", "--network", "bench", toolsImage, "iperf3", "--server"));
  }
  await Bun.sleep(300);
  const address = (tool: Tool) =>
    output(...tool("inspect", "-f", "{{.NetworkSettings.Networks.bench.IPAddress}}", "server"));
  const across = await alternate(rounds, {
    pod: measure(inside(pod, "--network", "bench"), address(pod), 5201),
    podman: measure(inside(podman, "--network", "bench"), address(podman), 5201),
  });
  for (const tool of [pod, podman]) {
    quietly(...remove(tool), "server");
    quietly(...tool("network", "rm", "bench"));
  }
  const row = (name: string, figures: { pod: number[]; podman: number[]; pasta?: number[] }): Row => ({
    name: `iperf3, ${name} (more is better)`,
    unit: "Gbit/s",
    pod: figures.pod[0]!,
    podman: figures.podman[0]!,
    ...(figures.pasta && { other: figures.pasta[0]!, otherName: "pasta" }),
  });
  return [
    row("container to host", out),
    row("host to container, by a published port", into),
    { ...row("container to container", across), other: out.pod[0]!, otherName: "pod, to the host" },
  ];
}

/** A real server, and clients on the host: one after the other, and eight at once. */
async function http({ pod, podman }: Tools): Promise<Row[]> {
  const serve = ["sh", "-c", "echo hello > /www/index.html; exec busybox httpd -f -p 5201 -h /www"];
  const servers = { pod: await publish(pod, ...serve), podman: await publish(podman, ...serve) };
  const folder = output("mktemp", "--directory");
  const pasta = await publishByPasta("busybox", "httpd", "-f", "-p", "5201", "-h", folder);
  await Bun.write(join(folder, "index.html"), "hello\n");
  const ask = (port: number) => async () => {
    const words = (clients: number) => ["ab", "-q", "-n", "2000", "-c", String(clients), `http://127.0.0.1:${port}/`];
    const alone = output(...words(1));
    const many = output(...words(8));
    if (!/Failed requests: +0\n/.test(alone + many)) throw new Error(`requests have failed:\n${many}`);
    return [/Time per request: +([\d.]+)/.exec(alone)!, /Requests per second: +([\d.]+)/.exec(many)!].map(([, text]) =>
      Number(text),
    );
  };
  const found = await alternate(rounds, {
    pod: ask(servers.pod.port),
    podman: ask(servers.podman.port),
    pasta: ask(pasta.port),
  });
  for (const each of [servers.pod, servers.podman, pasta]) await each.end();
  rmSync(folder, { recursive: true });
  const row = (name: string, unit: string, index: number): Row => {
    const [ours, theirs, other] = [found.pod[index]!, found.podman[index]!, found.pasta[index]!];
    return { name, unit, pod: ours, podman: theirs, other, otherName: "pasta" };
  };
  return [
    row("HTTP through a published port, one client: a request", "ms", 0),
    row("eight clients (more is better)", "requests/s", 1),
  ];
}

interface Published {
  port: number;
  end: () => Promise<unknown>;
}

/** A container that listens on port 5201, published. */
async function publish(tool: Tool, ...command: string[]): Promise<Published> {
  const port = await freePort();
  const name = `published-${port}`;
  output(...tool("run", "-d", "--name", name, "-p", `127.0.0.1:${port}:5201`, toolsImage, ...command));
  await Bun.sleep(300);
  return { port, end: async () => quietly(...remove(tool), name) };
}

async function publishByPasta(...command: string[]): Promise<Published> {
  const port = await freePort();
  const process = Bun.spawn(["pasta", "--config-net", "-t", `127.0.0.1/${port}:5201`, "--", ...command], {
    stdout: "ignore",
    stderr: "ignore",
  });
  await Bun.sleep(500);
  const end = () => {
    for (const pid of childrenOf(process.pid)) kill(pid, "SIGKILL"); // the first of a pid namespace hears no other; pasta ends with it
    return process.exited;
  };
  return { port, end };
}

const members = 100;
const podmanMembers = 20; // runc takes one of the 200 keys that a user may have for each, as pod does: keyrings(7)

/** Of all that is there for containers that do nothing: pod's monitors and slirp4netns, podman's conmon and slirp4netns. */
async function memory({ image }: Stage, { pod, podman }: Tools): Promise<Row> {
  const started = async (tool: Tool, count: number, field: string) => {
    const run = tool("run", "-d", "--label", "bench=memory", image, "sleep", "900");
    for (let i = 0; i < count; i += 10) await atOnce(10, run);
    await Bun.sleep(2000);
    const ids = output(...tool("ps", "-q", "--filter", "label=bench=memory")).split("\n");
    const pids = output(...tool("inspect", "-f", `{{.State.${field}}}`, ...ids))
      .split("\n")
      .map(Number);
    return { pids, end: () => quietly(...remove(tool), ...ids) };
  };
  const ours = await started(pod, members, "Pid");
  const monitors = ours.pids.map(parentOf);
  const slirps = [...new Set(monitors.flatMap(childrenOf))].filter((pid) => nameOf(pid) === "slirp4netns");
  if (slirps.length !== 1) throw new Error(`${slirps.length} of slirp4netns for one network`);
  const oursBytes = privateBytes(pod, ...monitors, ...slirps);
  ours.end();
  const theirs = await started(podman, podmanMembers, "ConmonPid");
  const others = slirpsBelow(process.env.XDG_RUNTIME_DIR!);
  if (others.length !== podmanMembers)
    throw new Error(`${others.length} of slirp4netns for ${podmanMembers} of podman's containers`);
  const theirsBytes = privateBytes(podman, ...theirs.pids, ...others);
  theirs.end();
  return {
    name: `memory for each of ${members} containers with a network (podman: of ${podmanMembers})`,
    unit: "MB",
    pod: oursBytes / members / 1e6,
    podman: theirsBytes / podmanMembers / 1e6,
  };
}

/** podman else waits ten seconds. */
function remove(tool: Tool): string[] {
  return tool("rm", "-f", ...(tool().includes("podman") ? ["-t", "0"] : []));
}

function parentOf(pid: number): number {
  return Number(/^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
}

function nameOf(pid: number): string {
  return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
}

/** Those whose network namespace is a file in this folder. */
function slirpsBelow(folder: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return nameOf(pid) === "slirp4netns" && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(folder);
      } catch {
        return false; // it has just ended
      }
    });
}

/** An address that is not loopback's. */
function hostAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const found = all.find(({ family, internal }) => family === "IPv4" && !internal);
  if (!found) throw new Error("this host has no address but loopback's");
  return found.address;
}

/** For a bare pasta the gateway's address is the host. */
function hostGateway(): string {
  return /^default via (\S+)/m.exec(output("ip", "route"))![1]!;
}
