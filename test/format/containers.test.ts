import { expect, test } from "bun:test";
import { containerRow, formatStatus } from "../../src/format/containers.ts";
import { parseVolume } from "../../src/mounts/volume-option.ts";
import type { Container, ContainerRecord } from "../../src/storage/containers.ts";

const now = Date.parse("2026-01-02T12:00:00Z");
const record = {
  id: "0123456789abcdef".repeat(4),
  name: "web",
  created: "2026-01-02T11:55:00.5Z",
  image: { reference: "alpine", id: "sha256:x", platform: "linux/amd64" },
  process: { args: ["sh", "-c", "while true; do sleep 1; done"] },
  labels: { a: "1", b: "2" },
  exposedPorts: ["80/tcp"],
  restart: { name: "always", maximumRetryCount: 0 },
  network: { mode: "slirp4netns" },
  mounts: [parseVolume("/a/rather/long/path:/x"), parseVolume("data:/y")],
} as unknown as ContainerRecord;
const container: Container = { record, state: { status: "running", started: "2026-01-02T11:56:00Z" } };

test("a row is cut as Docker cuts it", () => {
  expect(containerRow(container, { nowMs: now })).toMatchObject({
    ID: "0123456789ab",
    Image: "alpine",
    Command: '"sh -c while true; d…"',
    CreatedAt: "2026-01-02 11:55:00 +0000 UTC",
    RunningFor: "4 minutes ago",
    State: "running",
    Status: "Up 4 minutes",
    Ports: "80/tcp",
    Names: "web",
    Labels: "a=1,b=2",
    LocalVolumes: "1",
    Mounts: "/a/rather/long…,data",
    Networks: "slirp4netns",
  });
});

test("without truncation it is whole", () => {
  expect(containerRow(container, { full: true, nowMs: now })).toMatchObject({
    ID: record.id,
    Command: '"sh -c while true; do sleep 1; done"',
    Mounts: "/a/rather/long/path,data",
  });
});

test("a policy that ended with its monitor is told, unless a user had stopped the container", () => {
  const finished = "2026-01-02T11:59:58Z";
  const state = { status: "exited", exitCode: 137, finished, error: "its monitor was killed" } as const;
  const status = (stopped?: true) => containerRow({ record, state: { ...state, stopped } }, { nowMs: now }).Status;
  expect(status()).toBe("Exited (137) 2 seconds ago, not restarted: its monitor was killed");
  expect(status(true)).toBe("Exited (137) 2 seconds ago");
});

test("a label is asked for by name", () => {
  const row = containerRow(container, { nowMs: now });
  expect([row.Label("a"), row.Label("no")]).toEqual(["1", ""]);
});

test("statuses are Docker's", () => {
  expect(formatStatus({ status: "created" }, now)).toBe("Created");
  expect(formatStatus({ status: "exited", exitCode: 137, finished: "2026-01-02T11:59:58Z" }, now)).toBe(
    "Exited (137) 2 seconds ago",
  );
});
