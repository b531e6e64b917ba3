/** Networks that the user made, and `bridge`, and who is in them now: one folder each, `networks/<name>/`. */

import { join } from "node:path";
import { ConflictError, hasCode, NotFoundError, PodError } from "../errors.ts";
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "../ns/sys/fs.ts";
import { isAlive, type ProcessIdentity } from "./container-state.ts";
import { makeTemporaryDir, readJson, removeTree, withLock, writeFileAtomic } from "./files.ts";
import { paths } from "./store.ts";
import { processTag } from "./tags.ts";

/** Of one version of IP. */
export interface Addressing {
  /** `10.88.0.0/24`. */
  subnet: string;
  gateway: string;
  /** Where members' addresses are taken from: within the subnet, in the same form. */
  ipRange?: string;
}

/** `network.json`; never changed. What it extends is of IPv4. */
export interface NetworkRecord extends Addressing {
  version: 1;
  /** 64 hexadecimal digits. */
  id: string;
  name: string;
  /** RFC 3339, UTC. */
  created: string;
  driver: "bridge";
  /** Missing where it has no IPv6. */
  ipv6?: Addressing;
  /** There is no way out. */
  internal: boolean;
  /** The gateway's address is the host's loopback. */
  allowHostLoopback?: boolean;
  labels: Record<string, string>;
  /** As given by `-o`. */
  options: Record<string, string>;
  mtuBytes: number;
}

/** `members/<container id>.json`: of a container that runs. */
export interface Member {
  version: 1;
  container: string;
  /** 64 hexadecimal digits: Docker's name for a container in a network. */
  endpointId: string;
  /** What the others reach it by: its hostname, its name, the first 12 digits of its id, aliases. */
  names: string[];
  address: string;
  /** Of a network that has IPv6. */
  address6?: string;
  /** `02:42:0a:58:00:04`. */
  mac: string;
  /** In the container: `eth0`. */
  interface: string;
  /** In the network's namespace: the other end of it. */
  port: string;
  monitor: ProcessIdentity;
  /** The monitor's descriptors of the network's namespace, and of sockets in it (netlink(7)), which others take from it. */
  namespaceFd: number;
  routeFd: number;
  netfilterFd: number;
  /** The network's way out, and the monitor's descriptor of the pipe that ends it when nobody has it open. */
  slirp?: ProcessIdentity & { exitFd: number };
}

/** What is there without being made; `bridge` has a record from its first use on. */
export const predefinedNetworks = ["bridge", "host", "none"];

/** The same on every host. */
export function predefinedId(name: string): string {
  return new Bun.CryptoHasher("sha256").update(`pod network ${name}`).digest("hex");
}

export function networkDir(name: string): string {
  return join(paths.networks, name);
}

function membersDir(name: string): string {
  return join(networkDir(name), "members");
}

/** For the time in which members come, go or change. Short. */
export function withNetworkLock<T>(name: string, action: () => T): T {
  return withLock(`network-${name}`, action);
}

export function readNetwork(name: string): NetworkRecord | undefined {
  return readJson<NetworkRecord>(join(networkDir(name), "network.json"));
}

/** Those that have a record; damaged ones are passed over. */
export function listNetworks(): NetworkRecord[] {
  return list(paths.networks)
    .map((name) => readUndamaged<NetworkRecord>(join(networkDir(name), "network.json")))
    .filter((network) => network !== undefined)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** By name, id, or a prefix of the id that fits one only. Throws NotFoundError or ConflictError in Docker's words. */
export function findNetwork(text: string): NetworkRecord {
  const named = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(text) ? readNetwork(text) : undefined;
  if (named) return named;
  const found = /^[0-9a-f]+$/.test(text) ? listNetworks().filter(({ id }) => id.startsWith(text)) : [];
  if (found.length > 1)
    throw new ConflictError(`network ${text} is ambiguous (${found.length} matches found based on ID prefix)`);
  if (!found[0]) throw new NotFoundError(`network ${text} not found`);
  return found[0];
}

/** Appears whole. The caller holds the lock `networks`, and has seen that the name is free. */
export function putNetwork(record: NetworkRecord): void {
  const temporary = makeTemporaryDir();
  mkdirSync(join(temporary, "members"), { mode: 0o700 });
  writeFileAtomic(join(temporary, "network.json"), JSON.stringify(record, null, 2));
  mkdirSync(paths.networks, { recursive: true, mode: 0o700 });
  renameSync(temporary, networkDir(record.name));
}

/** The caller holds the network's lock, and has seen that nobody is in it. */
export function deleteNetwork(name: string): void {
  const temporary = makeTemporaryDir();
  renameSync(networkDir(name), join(temporary, "network"));
  rmSync(join(paths.locks, `network-${name}`), { force: true });
  removeTree(temporary);
}

/** Also those whose monitor was killed. */
export function countMembers(name: string): number {
  return list(membersDir(name)).length;
}

/** Those whose monitor lives. */
export function listMembers(name: string): Member[] {
  return list(membersDir(name))
    .map((file) => readUndamaged<Member>(join(membersDir(name), file)))
    .filter((member) => member !== undefined)
    .filter(({ monitor }) => isAlive(monitor));
}

/** Of a container that is in the network now. */
export function readMember(name: string, container: string): Member | undefined {
  const member = readUndamaged<Member>(join(membersDir(name), `${container}.json`));
  return member && isAlive(member.monitor) ? member : undefined;
}

/** Not synced: after a power cut nothing of it is true anyway, and it may be empty. */
export function putMember(name: string, member: Member): void {
  const temporary = join(paths.temporary, `${processTag()}-member`);
  writeFileSync(temporary, JSON.stringify(member), { mode: 0o600 });
  renameSync(temporary, join(membersDir(name), `${member.container}.json`));
}

export function deleteMember(name: string, container: string): void {
  rmSync(join(membersDir(name), `${container}.json`), { force: true });
}

/** The networks with records of members whose monitor was killed, or that are damaged. */
export function networksWithDead(): string[] {
  return list(paths.networks).filter((name) => deadFiles(name, listMembers(name)).length > 0);
}

/** Removes these records, after `before` was given the ports of those that can be read. How many there were. The caller holds the network's lock. */
export function dropDead(name: string, live: Member[], before: (ports: string[]) => void): number {
  const files = deadFiles(name, live).map((file) => join(membersDir(name), file));
  before(files.map((file) => readUndamaged<Member>(file)?.port).filter((port) => port !== undefined));
  for (const file of files) rmSync(file, { force: true });
  return files.length;
}

function deadFiles(name: string, live: Member[]): string[] {
  const known = new Set(live.map(({ container }) => `${container}.json`));
  return list(membersDir(name)).filter((file) => !known.has(file));
}

/** Undefined also where it is no JSON. */
function readUndamaged<T>(path: string): T | undefined {
  try {
    return readJson<T>(path);
  } catch (error) {
    if (error instanceof PodError) return undefined;
    throw error;
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}
