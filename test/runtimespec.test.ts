import { expect, test } from "bun:test";
import { parseTmpfs } from "../src/mounts/tmpfs-option.ts";
import { parseVolume } from "../src/mounts/volume-option.ts";
import { toSpec } from "../src/runtimespec.ts";
import type { ContainerRecord } from "../src/storage/containers.ts";

const record = {
  id: "ab".repeat(32),
  name: "box",
  process: { args: ["sh"], env: [], user: "", workingDir: "/", tty: false },
  hostname: "box",
  readonlyRootfs: false,
  network: { mode: "none", allowHostLoopback: false },
  shmSizeBytes: 1024,
  mounts: [parseVolume("/src:/a/b:ro"), parseTmpfs("/a:exec")],
} as unknown as ContainerRecord;

const maps = [
  { containerID: 0, hostID: 1000, size: 1 },
  { containerID: 1, hostID: 100000, size: 65536 },
];
const spec = (given: Partial<ContainerRecord> = {}, ids = maps) =>
  toSpec({ ...record, ...given }, { dir: "/store/c", uids: ids, gids: ids, maxOpenFiles: 4096 });
const mountAt = (destination: string, of = spec()) => of.mounts.find((mount) => mount.destination === destination);

test("all seven namespaces are new, and the host's network is not among them where it is shared", () => {
  const types = (of = spec()) => of.linux.namespaces.map(({ type }) => type).sort();
  expect(types()).toEqual(["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]);
  expect(types(spec({ network: { mode: "host", allowHostLoopback: false } }))).not.toContain("network");
});

test("ids are mapped one to one from the user's namespace", () => {
  expect(spec().linux.uidMappings).toEqual([
    { containerID: 0, hostID: 0, size: 1 },
    { containerID: 1, hostID: 1, size: 65536 },
  ]);
});

test("an outer mount comes before the one inside it, after the system's own", () => {
  const order = spec().mounts.map(({ destination }) => destination);
  expect(order.indexOf("/a")).toBeLessThan(order.indexOf("/a/b"));
  expect(order.indexOf("/proc")).toBe(0);
  expect(mountAt("/a/b")?.options).toEqual(["rbind", "rro"]);
  expect(mountAt("/dev/shm")?.options).toContain("size=1024");
});

test("with the host's network /sys is the host's, read-only, since a new one can't be mounted", () => {
  const host = spec({ network: { mode: "host", allowHostLoopback: false } });
  expect(mountAt("/sys", host)).toMatchObject({ type: "bind", source: "/sys" });
  expect(mountAt("/sys", host)?.options).toContain("rro");
  expect(host.linux.sysctl).toEqual({});
});

test("where only one id is mapped there is no group 5 for terminals", () => {
  expect(mountAt("/dev/pts")?.options).toContain("gid=5");
  expect(mountAt("/dev/pts", spec({}, maps.slice(0, 1)))?.options).not.toContain("gid=5");
});
