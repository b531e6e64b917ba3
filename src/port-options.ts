/** `-p`, `--expose` and `-P` as data: docker/go-connections nat.ParsePortSpec, with its texts. */

import { NotFoundError, UsageError } from "./errors.ts";
import { parseAddress } from "./net/subnets.ts";
import type { PortBinding } from "./storage/containers.ts";

/** `[ip:][host port[-end]:]container port[-end][/protocol]`, or that in long: one for each port of the container. */
export function parsePublish(text: string): PortBinding[] {
  const [spec = "", protocol = "", ...rest] = toShort(text).split("/");
  const parts = spec.split(":");
  const ports = parts.pop()!;
  const hostPorts = parts.pop();
  const hostAddress = parts.join(":").replace(/^\[(.*)\]$/, "$1");
  if (!ports) throw new UsageError(`no port specified: ${text}<empty>`);
  const [from, to] = parseRange(ports, "containerPort");
  const host = hostPorts ? parseRange(hostPorts, "hostPort") : undefined;
  if (rest.length) throw new UsageError(`invalid proto: ${[protocol, ...rest].join("/")}`);
  if (hostAddress && !parseAddress(hostAddress)) throw new UsageError(`invalid IP address: ${hostAddress}`);
  const kind = checkProtocol(protocol || "tcp");
  const [first, last] = host ?? [0, 0];
  if (host && to > from && last - first !== to - from) {
    throw new UsageError(`invalid ranges specified for container and host Ports: ${ports} and ${hostPorts}`);
  }
  return Array.from({ length: to - from + 1 }, (_, index) => ({
    port: from + index,
    protocol: kind,
    hostAddress,
    hostPort: host && to > from ? first + index : first,
    ...(host && to === from && last > first && { hostPortEnd: last }),
  }));
}

/** `published=8080,target=80,protocol=tcp`: docker/cli convertToStandardNotation, which passes over other names. */
function toShort(text: string): string {
  if (!text.includes("=")) return text;
  const fields: Record<string, string> = { published: "", target: "", protocol: "" };
  for (const field of text.split(",")) {
    const [name, value] = field.split("=");
    if (!name || value === undefined) {
      throw new UsageError(`invalid publish opts format (should be name=value but got '${field}')`);
    }
    if (fields[name] === undefined)
      throw new UsageError(`invalid publish opts: published, target and protocol are known, not ${name}`);
    fields[name] = value;
  }
  return `${fields.published}:${fields.target}/${fields.protocol}`;
}

/** `80`, `80/udp`, `8000-8002/tcp`: `80/tcp` for each. */
export function parseExpose(text: string): string[] {
  const [, ports = "", protocol = "tcp"] = /^([^/]*)(?:\/(.*))?$/.exec(text) ?? [];
  const kind = checkProtocol(protocol);
  if (!/^\d+(-\d+)?$/.test(ports)) throw new UsageError(`invalid range format for --expose: ${text}`);
  const [from, to] = parseRange(ports, "containerPort");
  return Array.from({ length: to - from + 1 }, (_, index) => `${from + index}/${kind}`);
}

/** `-P`: what is exposed and not published otherwise, each at a port that is free. */
export function publishExposed(exposed: string[], bindings: PortBinding[]): PortBinding[] {
  return exposed
    .filter((text) => !bindings.some(({ port, protocol }) => `${port}/${protocol}` === text))
    .map((text) => parsePublish(text)[0]!);
}

/**
 * `--publish-rm` of the container `name`: by the container's port, and the host's address and port where they are given. Throws
 * NotFoundError for what is not published.
 */
export function findPorts(bindings: PortBinding[], wanted: PortBinding[], name: string): PortBinding[] {
  return wanted.flatMap(({ port, protocol, hostAddress, hostPort }) => {
    const found = bindings.filter(
      (binding) =>
        binding.port === port &&
        binding.protocol === protocol &&
        (!hostAddress || binding.hostAddress === hostAddress) &&
        (!hostPort || binding.hostPort === hostPort),
    );
    if (found.length) return found;
    const where = hostPort ? ` at ${hostPort}` : "";
    throw new NotFoundError(`no public port '${port}/${protocol}' published for ${name}${where}`);
  });
}

export function withoutPorts(bindings: PortBinding[], removed: PortBinding[]): PortBinding[] {
  return bindings.filter((binding) => !removed.some((each) => Bun.deepEquals(each, binding)));
}

function parseRange(text: string, what: string): [number, number] {
  const [from, to = from, ...rest] = text.split("-").map((part) => (/^\d+$/.test(part) ? Number(part) : Number.NaN));
  const isPort = (port: number | undefined) =>
    port !== undefined && port >= (what === "hostPort" ? 0 : 1) && port <= 65535;
  if (rest.length || !isPort(from) || !isPort(to) || from! > to!) throw new UsageError(`invalid ${what}: ${text}`);
  return [from!, to!];
}

function checkProtocol(text: string): "tcp" | "udp" {
  const protocol = text.toLowerCase();
  if (protocol === "tcp" || protocol === "udp") return protocol;
  if (protocol === "sctp") throw new UsageError("sctp is not supported: there is no way to forward it without root");
  throw new UsageError(`invalid proto: ${text}`);
}
