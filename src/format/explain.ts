/** `run --explain` in words: a line, or some, for each step. */

import type { Explanation } from "../explain.ts";
import type { IdMapping, RuntimeMount } from "../spec.ts";
import { alignTabs } from "./table.ts";

export function formatExplanation({
  image,
  userNamespace,
  rootfs,
  network,
  cgroup,
  spec,
  degraded,
}: Explanation): string {
  const { process: program, linux } = spec;
  const steps: [string, string[]][] = [
    ["image", [`${image.reference}, ${image.id}`]],
    ["user namespace", ["yours, shared by all of your containers", ...maps(userNamespace)]],
    ...[rootfs.lower, rootfs].flatMap((each): [string, string[]][] =>
      each ? [["root file system", mounted(each)]] : [],
    ),
    ["namespaces", [linux.namespaces.map(({ type }) => type).join(", ")]],
    ["id maps", maps(linux)],
    ["control group", cgroupSteps(cgroup)],
    ["network", [network.command?.join(" ") ?? (network.networks.join(", ") || network.mode), ...hostSteps(network)]],
    ["host name", [spec.hostname ?? ""]],
    ["mounts", spec.mounts.map(mount)],
    ["devices", [linux.devices.map(({ path }) => path).join(" ")]],
    ["root", [spec.root.readonly ? "read-only" : "writable"]],
    ["masked paths", linux.maskedPaths],
    ["read-only paths", linux.readonlyPaths],
    ["sysctls", Object.entries(linux.sysctl).map(([name, value]) => `${name}=${value}`)],
    ["limits", program.rlimits.map(({ type, soft, hard }) => `${type} ${soft} ${hard}`)],
    ["capabilities", [program.capabilities.bounding.map((name) => name.replace("CAP_", "")).join(" ")]],
    ["no_new_privs", [program.noNewPrivileges ? "set" : "not set"]],
    ["seccomp", ["none"]],
    ["user", [spec.annotations["pod.container.user"] || "root"]],
    ["environment", program.env],
    ["directory", [program.cwd]],
    ["exec", [JSON.stringify(program.args)]],
    ["degraded", degraded],
  ];
  const shown = steps.filter(([, lines]) => lines.length);
  return alignTabs(shown.flatMap(([name, lines]) => lines.map((line, i) => `${i ? "" : name}\t${line}\n`)).join(""));
}

function mounted({ driver, target, options }: Explanation["rootfs"]): string[] {
  return [`${driver} at ${target}`, ...options.split(",")];
}

function maps({ uidMappings, gidMappings }: { uidMappings: IdMapping[]; gidMappings: IdMapping[] }): string[] {
  const of = (kind: string, mappings: IdMapping[]) =>
    mappings.map(
      ({ containerID, hostID, size }) =>
        `${kind} ${containerID} is ${hostID}${size > 1 ? `, and ${size - 1} more` : ""}`,
    );
  return [...of("uid", uidMappings), ...of("gid", gidMappings)];
}

function cgroupSteps({ path, missing }: Explanation["cgroup"]): string[] {
  if (path === undefined) return [`none: ${missing}`];
  return [
    `mkdir ${path}`,
    "the first process is born in it: clone3",
    "`pause` and `commit` write to its cgroup.freeze",
  ];
}

/** Docker Desktop's users expect the host's loopback there. */
function hostSteps({ host }: Explanation["network"]): string[] {
  if (!host) return [];
  const name = `host.docker.internal is ${host.address}`;
  if (host.hasLoopback) return [`${name}, the host with its loopback`];
  const options = "--network slirp4netns:allow_host_loopback=true, or network create -o allow_host_loopback=true";
  return [`${name}; what listens on the host's 127.0.0.1 alone is out of reach: ${options} opens it`];
}

function mount({ destination, type, source, options }: RuntimeMount): string {
  return `${destination}  ${type} ${source} ${options.join(",")}`;
}
